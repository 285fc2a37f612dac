/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A call of a program's, as handlers see it: what it asks, on which file, and
 * the answer in the making. How it came here, where the answer goes and how
 * more of the program's is fetched is the transport's (struct call_ops).
 *
 * Handlers read program memory, descriptors and mappings through call_*(). What
 * is not at hand is noted and -ERESTART is returned, which the handler passes on
 * before it has changed anything: it is called again, from the beginning, once
 * the transport has that too.
 */
#ifndef SOFTVFIO_FRONT_CALL_H
#define SOFTVFIO_FRONT_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "front/conf.h"
#include "lib/proto.h"

struct call;
struct file;
struct mem;
struct server;
struct sv_dev;

/* What a handler that call_enter() has not let in returns; an answer never is. */
#define CALL_PARKED (-4096)

/**
 * struct call_bits - How far the bitmap of a call is written
 * @mark:  as in call_set_bits() of the last round; 0 = there was none
 * @done:  runs of ones written since that mark was first given
 * @fault: the run behind those could not be written
 */
struct call_bits {
	uint64_t mark;
	uint64_t done;
	bool fault;
};

/** struct call_ops - A transport; each as the function of its name below */
struct call_ops {
	const uint8_t *(*data)(const struct call *call, size_t *ret_len,
			       size_t *ret_want);
	int (*copy_in)(struct call *call, uint64_t addr, void *buf, size_t len);
	int (*string)(struct call *call, uint64_t addr, char *buf, size_t size);
	int (*fd)(struct call *call, int32_t number, int *ret_fd);
	int (*vmas)(struct call *call, uint64_t addr, uint64_t len,
		    const struct sv_vma **ret_vma, uint32_t *ret_n);
	int (*vma_fd)(const struct call *call, const struct sv_vma *vma);
	int (*mm)(struct call *call, struct mem **ret_mem);
	struct call_bits (*bits)(const struct call *call);
	int (*set_bits)(struct call *call, uint64_t mark, uint64_t bitmap,
			uint64_t first, uint64_t count);
	int (*enter)(struct call *call, const struct sv_dev *dev);
};

/**
 * struct call - One of them, for as long as a thread serves it
 * @conf, @server: who serves it (front/alive.h)
 * @file:	   what it is on
 * @name:	   what it asks, for the journal; static
 * @pid:	   who asks
 * @arg:	   numbers, by operation: enum sv_op has them
 * @fd_out:	   sent along and closed; -1 = none
 * @fd_result:	   and it is the result
 * @cloexec:	   and to be closed on exec there
 * @copy, @out:	   the answer's data: @n_copies for the program's memory, or
 *		   none and plain bytes
 */
struct call {
	const struct call_ops *ops;
	const struct front_conf *conf;
	struct server *server;
	struct file *file;
	const char *name;
	const uint64_t *arg;
	pid_t pid;

	int fd_out;
	bool fd_result;
	bool cloexec;
	size_t n_copies;
	size_t n_out;
	struct sv_copy copy[SV_COPIES_MAX];
	uint8_t out[SV_MSG_MAX];
};

/** call_data() - What came with the call: a path, JSON, bytes to write; @ret_want
 * says how many of those there should be, more when they could not be read */
static inline const uint8_t *call_data(const struct call *call, size_t *ret_len,
				       size_t *ret_want)
{
	return call->ops->data(call, ret_len, ret_want);
}

/** call_path() - call_data() as a string; 0 or -EINVAL */
int call_path(const struct call *call, char *buf, size_t size);

/** call_copy_in() - copy_from_user(); 0, -EFAULT or -ERESTART */
static inline int call_copy_in(struct call *call, uint64_t addr, void *buf,
			       size_t len)
{
	return call->ops->copy_in(call, addr, buf, len);
}

/** call_string() - strndup_user(): 0; -EFAULT; -ERESTART; -EINVAL too long for
 * @buf with its NUL */
static inline int call_string(struct call *call, uint64_t addr, char *buf,
			      size_t size)
{
	return call->ops->string(call, addr, buf, size);
}

/** call_copy_out() - copy_to_user(), when the answer is delivered; it is the
 * program's side that turns a bad address into EFAULT. 0 or -ENOMEM (more than
 * an answer holds) */
int call_copy_out(struct call *call, uint64_t addr, const void *buf,
		  size_t len);

/** call_out() - Append to the answer's data; 0 or -ENOMEM */
int call_out(struct call *call, const void *buf, size_t len);

/** call_fd() - The file behind a descriptor number of the program; borrowed for
 * as long as the call lasts. 0; -EBADF; -ERESTART */
static inline int call_fd(struct call *call, int32_t number, int *ret_fd)
{
	return call->ops->fd(call, number, ret_fd);
}

/** call_send_fd() - Answer with a descriptor; it is closed once sent */
void call_send_fd(struct call *call, int fd, bool as_result, bool cloexec);

/** call_vmas() - What the program has mapped in a range. 0 or -ERESTART */
static inline int call_vmas(struct call *call, uint64_t addr, uint64_t len,
			    const struct sv_vma **ret_vma, uint32_t *ret_n)
{
	return call->ops->vmas(call, addr, len, ret_vma, ret_n);
}

/** call_vma_fd() - The file of an SV_VMA_FILE; borrowed; -1 when none came */
static inline int call_vma_fd(const struct call *call, const struct sv_vma *vma)
{
	return call->ops->vma_fd(call, vma);
}

/** call_mm() - The program's address space. 0; -ERESTART; mem_mm()'s errors */
static inline int call_mm(struct call *call, struct mem **ret_mem)
{
	return call->ops->mm(call, ret_mem);
}

/** call_bits() - What became of call_set_bits() when the call was here before */
static inline struct call_bits call_bits(const struct call *call)
{
	return call->ops->bits(call);
}

/**
 * call_set_bits() - Have a run of @count ones written to a bitmap of the
 * program's, from bit @first on, as SV_NEED_BITS says
 * @mark: not 0; comes back in call_bits(). A round has one mark, and its runs
 *	  are written in order
 *
 * Return: -ERESTART, always due; -ENOMEM more than a round takes: for the next.
 */
static inline int call_set_bits(struct call *call, uint64_t mark,
				uint64_t bitmap, uint64_t first, uint64_t count)
{
	return call->ops->set_bits(call, mark, bitmap, first, count);
}

/**
 * call_enter() - Serve a call that may wait for a device's model
 *
 * To be asked before anything has been changed: a call that is parked begins
 * anew.
 *
 * Return: 0; CALL_PARKED, to be passed on; -EBUSY, -EMFILE, -ENFILE too many wait
 * already, of the program or in all, or they carry too many descriptors; -ENOMEM.
 */
static inline int call_enter(struct call *call, const struct sv_dev *dev)
{
	return call->ops->enter(call, dev);
}

#endif
