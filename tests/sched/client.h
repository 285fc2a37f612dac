/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program that speaks to the server as the shim does (lib/proto.h), on real
 * sockets, and waits for answers in the schedule's way. One thread at a time
 * uses a client; files may be shared by several.
 */
#ifndef SOFTVFIO_TESTS_SCHED_CLIENT_H
#define SOFTVFIO_TESTS_SCHED_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/proto.h"

#define CLIENT_FDS 4

struct client {
	int door;      /* a connection, for what is asked of no file */
	int line;      /* where answers on files come, */
	int once;      /* and the first, which brings it */
	uint64_t name; /* of the channel whose other end the server keeps */
	uint64_t seq;
	bool unsure; /* no answer is the answer -ENODEV, as from the shim */
};

/**
 * client_new() - Connect; the first request on a file has a channel kept
 * client_done() - As the program's end does
 * @number: of the program, unlike all others'
 */
void client_new(struct client *c, const char *door, unsigned int number);
void client_done(struct client *c);

/**
 * struct question - One request; what it points to is borrowed
 * @on:    a file of the server's, or -1 for the door
 * @call:  a string literal, for traces
 * @bytes: segment 0, which the program has at @addr
 * @fds:   files that the arguments name, by number
 */
struct question {
	int on;
	enum sv_op op;
	const char *call;
	uint64_t arg[4];
	uint64_t addr;
	const void *bytes;
	size_t len;
	int fds[CLIENT_FDS];
	unsigned int n_fds;
	uint32_t flags;
	const struct sv_vma *vma;
};

/** struct answer - What came back */
struct answer {
	int64_t result;
	uint32_t flags; /* SV_REPLY_* */
	bool lost;	/* nobody answered */
	bool needs;	/* SV_NEED: what of, and no result */
	int fd;		/* -1: none came along */
	uint32_t n;
	size_t len;
	_Alignas(8) uint8_t bytes[1024];
};

/** client_ask() - Send, wait for the answer; its result. The fd is to close */
int64_t client_ask(struct client *c, const struct question *q,
		   struct answer *ret_answer);

/** client_open() - open(2): a descriptor, or -errno */
int client_open(struct client *c, const char *path);

/**
 * client_ioctl() - ioctl(2) with a structure, copied in and back
 * @fds: numbers that it contains, @n_fds of them
 *
 * Return: as the server says; the descriptor if one came along.
 */
int64_t client_ioctl(struct client *c, int fd, const char *call,
		     unsigned int cmd, void *arg, size_t len, const int *fds,
		     unsigned int n_fds);

/** client_ioctl_val() - ioctl(2) with a number, or nothing */
int64_t client_ioctl_val(struct client *c, int fd, const char *call,
			 unsigned int cmd, uint64_t val);

/** client_read(), client_write() - 4 bytes or less by pread and pwrite */
int64_t client_read(struct client *c, int fd, uint64_t pos, void *buf,
		    size_t len);
int64_t client_write(struct client *c, int fd, uint64_t pos, const void *buf,
		     size_t len);

/** client_abandon() - Killed in a pread: nobody takes the answer. The client can
 * ask nothing more on a file */
void client_abandon(struct client *c, int fd);

/** client_mmap() - The mapping, or NULL and -errno in @ret_r */
void *client_mmap(struct client *c, int fd, uint64_t pos, size_t len,
		  int64_t *ret_r);

/** client_fault(), client_access() - What the shim asks on SIGBUS, SIGSEGV */
int64_t client_fault(struct client *c, struct sv_bar_id bar, uint64_t off);
int64_t client_access(struct client *c, struct sv_bar_id bar, uint64_t off,
		      int write, uint64_t *val);

/** client_control() - A command of `softvfio`, in JSON; 0 or -errno */
int64_t client_control(struct client *c, const char *json);

/**
 * client_map_dma() - VFIO_IOMMU_MAP_DMA of a file that is mapped at @vaddr, or
 * with -1 of the program's own memory. The answer
 */
int64_t client_map_dma(struct client *c, int container, uint64_t iova,
		       const void *vaddr, size_t len, int memfd);

/** client_unmap_dma() - VFIO_IOMMU_UNMAP_DMA */
int64_t client_unmap_dma(struct client *c, int container, uint64_t iova,
			 size_t len);

#endif
