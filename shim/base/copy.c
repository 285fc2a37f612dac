/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Touching program memory with calls that can fail, so that a bad pointer is
 * EFAULT and not a crash: process_vm_readv() and process_vm_writev() on
 * ourselves, or, where a sandbox forbids them, a pipe, whose write() and
 * read() check pointers just as well.
 */
#include "shim/shim.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define PAGE 4096

/* A thread's places for scratch memory in one of the areas below. */
#define SCRATCH_SLOTS 8
#define SCRATCH_SLOT  (UINT64_C(512) << 10)

static atomic_bool vm_calls_forbidden;

/*
 * Moves bytes between @own (the shim's) and @user. Returns how many, or a
 * negative value when the call does not work here at all. The thread's own id
 * is used because the process's first thread may have ended, and then has no
 * memory any more.
 */
static long copy_by_vm(bool in, void *own, void *user, size_t len)
{
	struct iovec local = {own, len};
	struct iovec remote = {user, len};
	long tid = SYS(gettid), r;

	if (atomic_load_explicit(&vm_calls_forbidden, memory_order_relaxed))
		return -ENOSYS;
	if (in)
		r = SYS(process_vm_readv, tid, &local, 1, &remote, 1, 0);
	else
		r = SYS(process_vm_writev, tid, &local, 1, &remote, 1, 0);
	if (r == -EFAULT)
		return 0;
	if (r == -ENOSYS || r == -EPERM || r == -EACCES)
		atomic_store_explicit(&vm_calls_forbidden, true,
				      memory_order_relaxed);
	return r;
}

/*
 * One piece inside one page of program memory: there or not, never half. An
 * empty pipe takes a page without blocking.
 */
static bool pipe_piece(const int pipe[2], bool in, char *own, char *user,
		       size_t len)
{
	const char *from = in ? user : own;
	char *to = in ? own : user;

	return SYS(write, pipe[1], from, len) == (long)len &&
	       SYS(read, pipe[0], to, len) == (long)len;
}

static size_t copy_by_pipe(bool in, void *own, void *user, size_t len)
{
	size_t done = 0;
	int pipe[2];

	if (SYS(pipe2, pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return 0;
	while (done < len) {
		size_t n = PAGE - ((uintptr_t)user + done) % PAGE;

		if (n > len - done)
			n = len - done;
		if (!pipe_piece(pipe, in, (char *)own + done,
				(char *)user + done, n))
			break;
		done += n;
	}
	SYS(close, pipe[0]);
	SYS(close, pipe[1]);
	return done;
}

static size_t copy(bool in, void *own, void *user, size_t len)
{
	if (!len)
		return 0;

	long r = copy_by_vm(in, own, user, len);
	return r >= 0 ? (size_t)r : copy_by_pipe(in, own, user, len);
}

size_t shim_copy_in(void *dst, const void *src, size_t len)
{
	return copy(true, dst, (void *)src, len);
}

int shim_copy_out(void *dst, const void *src, size_t len)
{
	return copy(false, (void *)src, dst, len) == len ? 0 : -EFAULT;
}

static bool is_error(long r)
{
	return r < 0 && r >= -4095;
}

/*
 * Where scratch memory goes. Not wherever the host likes: that is often the
 * hole a program has just made and is about to ask the daemon about, who would
 * find the shim in it, or to map a BAR over. Every thread has places of its
 * own, more than it uses at a time unless signal handlers nest very deep, in
 * parts of the address space where programs have nothing. The second area is
 * for programs whose sanitizer has taken the first.
 */
static const struct {
	uintptr_t base;
	uintptr_t threads;
} scratch_areas[] = {
	{UINT64_C(0x200000000000), 1u << 22}, /* as many as there are ids */
	{UINT64_C(0x004000000000), 1u << 16},
};

void *shim_scratch(size_t len)
{
	uintptr_t tid = (uintptr_t)SYS(gettid);

	if (len > SCRATCH_SLOT)
		return NULL;
	for (int i = 0; i < 2 * SCRATCH_SLOTS; i++) {
		int area = i / SCRATCH_SLOTS;
		uintptr_t slot = tid % scratch_areas[area].threads;

		slot = slot * SCRATCH_SLOTS + i % SCRATCH_SLOTS;

		long p = SYS(mmap,
			     scratch_areas[area].base + slot * SCRATCH_SLOT,
			     len, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				     MAP_FIXED_NOREPLACE,
			     -1, 0);

		if (!is_error(p))
			return (void *)p;
	}
	return NULL;
}

void shim_scratch_free(void *p, size_t len)
{
	if (p)
		SYS(munmap, p, len);
}
