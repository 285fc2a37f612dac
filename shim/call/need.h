/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the daemon found missing in a request: gathered here between one
 * sending and the next, so that the shim knows no ioctl and no structure.
 */
#ifndef SOFTVFIO_SHIM_CALL_NEED_H
#define SOFTVFIO_SHIM_CALL_NEED_H

#include <linux/limits.h>

#include "shim/shim.h"

struct line;

#define NEED_FILES_MAX 1024	     /* files behind mappings */
#define NEED_BYTES_MAX (SV_DATA_MAX) /* program memory beside segment 0 */
#define NEED_FDS_MAX   (NEED_FILES_MAX + SV_FDREFS_MAX + 1)

/** struct need_file - A file behind a mapping, opened to be sent */
struct need_file {
	uint64_t dev;
	uint64_t ino;
	bool writable; /* opened for writing too */
};

/**
 * struct needed - Everything beyond the plain request; 300 KiB, of which only
 * what is used is touched
 * @segs:   bytes asked for, @n_bytes of them in @bytes
 * @fdrefs: descriptor numbers asked about, each once
 * @slots:  finds a number in @fdrefs: hashed, holding index + 1; valid when
 *	    there are any
 * @vmas:   what is mapped in the range asked about, valid when @has_vmas
 * @files:  opened for @vmas, owned; @fds begins with their descriptors
 * @mem_fd: /proc/self/mem when asked for, else -1; owned
 * @mark:   of the daemon, with the last SV_NEED_BITS; @bits_done of them have
 *	    been served since it was first this, and then one could not
 *	    (@bits_fault)
 * @fds:    what to send, @n_fds of them; see need_collect()
 * @path:   of a mapped file
 * @list:   what the daemon says is missing, see struct sv_reply
 */
struct needed {
	uint32_t n_segs;
	uint32_t n_bytes;
	uint32_t n_fdrefs;
	uint32_t n_vmas;
	uint32_t n_files;
	uint32_t n_fds;
	int mem_fd;
	bool has_vmas;
	bool bits_fault;
	uint64_t mark;
	uint64_t bits_done;
	struct sv_seg segs[SV_SEGS_MAX];
	struct sv_fdref fdrefs[SV_FDREFS_MAX];
	uint16_t slots[2 * SV_FDREFS_MAX];
	struct sv_vma vmas[SV_VMAS_MAX];
	struct need_file files[NEED_FILES_MAX];
	int fds[NEED_FDS_MAX];
	uint8_t bytes[NEED_BYTES_MAX];
	char path[PATH_MAX];
	uint8_t list[SV_MSG_MAX] __attribute__((aligned(8)));
};

/** need_new() - Nothing needed yet. Return: to be need_free()d, or NULL */
struct needed *need_new(void);

/** need_free() - Close and release; accepts NULL */
void need_free(struct needed *n);

/**
 * need_serve() - Gather what an SV_NEED reply asks for
 * @n:	   its @list holds what follows the reply's head
 * @mark:  result of the reply
 * @count: entries of the list
 * @len:   bytes of it
 * @taken: segments the request has besides
 *
 * Return: 0; -ENOMEM more than fits; -EIO the message makes no sense; -errno.
 */
int need_serve(struct needed *n, uint64_t mark, uint16_t count, size_t len,
	       uint32_t taken);

/**
 * need_collect() - List the descriptors to send and number them
 * @line: where the reply will come
 *
 * Done before every sending: a number that another thread has closed since
 * would make the host refuse the whole message. A number that only the shim
 * uses at the moment is none of the program's.
 */
void need_collect(struct needed *n, const struct line *line);

#endif
