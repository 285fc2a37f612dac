/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * Closing takes references to the populated pages (vmsplice into pipes, which
 * copies nothing), truncates the file, and only then reads the pipes. A store
 * that retired before the truncation is in those very pages; copying first
 * would lose the stores made between copy and truncation. Opening writes the
 * contents back in ascending order into a file that grows behind them, and
 * extends it to its full size last, so that nobody sees zeroes instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/bar_impl.h"

void bar_drop_kept(struct bar *bar)
{
	if (bar->mem != bar->view)
		munmap(bar->mem, bar->len);
	bar->mem = bar->view;
	if (bar->kept >= 0)
		close(bar->kept);
	bar->kept = -1;
}

/* Where the contents are while the BAR is closed. */
static void bar_make_kept(struct bar *bar)
{
	void *mem;

	bar->kept = memfd_create("kept", MFD_CLOEXEC);
	if (bar->kept >= 0 && ftruncate(bar->kept, (off_t)bar->len) == 0)
		mem = mmap(NULL, bar->len, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_NORESERVE, bar->kept, 0);
	else
		mem = mmap(NULL, bar->len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem != MAP_FAILED)
		bar->mem = mem;
}

/* The next populated extent at or after *@at; false when there is none. */
static bool next_extent(int fd, uint64_t *at, uint64_t *ret_end)
{
	off_t data = lseek(fd, (off_t)*at, SEEK_DATA);
	off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);

	if (hole < 0)
		return false;
	*at = (uint64_t)data;
	*ret_end = (uint64_t)hole;
	return true;
}

#define PIPE_BYTES (1u << 20)

/* A stretch of the contents, its pages held by a pipe. */
struct held {
	uint64_t off;
	size_t len;
	int rd;
};

struct holding {
	struct held held[BAR_PIPES_MAX];
	size_t n;
};

/* References to the pages, no copy: later stores show until the truncation. */
static bool hold_pages(struct bar *bar, uint64_t off, size_t len,
		       struct held *ret_held)
{
	struct iovec iov = {bar->view + off, len};
	int p[2];

	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;

	bool whole = fcntl(p[1], F_SETPIPE_SZ, PIPE_BYTES) >= (int)len &&
		     vmsplice(p[1], &iov, 1, SPLICE_F_NONBLOCK) == (ssize_t)len;

	close(p[1]);
	if (!whole) {
		close(p[0]);
		return false;
	}
	*ret_held = (struct held){off, len, p[0]};
	return true;
}

/*
 * Hold what is populated; what no pipe takes is copied now. A program may have
 * made the file longer than the BAR is.
 */
static void hold_contents(struct bar *bar, struct holding *h)
{
	uint64_t at = 0, end;

	while (next_extent(bar->memfd, &at, &end) && at < bar->len) {
		if (end > bar->len)
			end = bar->len;
		while (at < end) {
			size_t len =
				end - at < PIPE_BYTES ? end - at : PIPE_BYTES;

			if (h->n < BAR_PIPES_MAX &&
			    hold_pages(bar, at, len, &h->held[h->n]))
				h->n++;
			else if (bar->mem != bar->view)
				memcpy(bar->mem + at, bar->view + at, len);
			at += len;
		}
	}
}

static void keep_held(struct bar *bar, const struct held *held)
{
	size_t done = 0;

	while (done < held->len) {
		ssize_t n = read(held->rd, bar->mem + held->off + done,
				 held->len - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
}

void bar_close(struct bar *bar)
{
	struct holding h = {.n = 0};

	if (bar->memfd < 0 || bar->closed)
		return;
	bar_make_kept(bar);
	hold_contents(bar, &h);
	bar->closed = ftruncate(bar->memfd, 0) == 0; /* our own file: it is */
	for (size_t i = 0; i < h.n; i++) {
		if (bar->mem != bar->view)
			keep_held(bar, &h.held[i]);
		close(h.held[i].rd);
	}
}

/* Ascending, the file growing behind the data, so that nobody sees zeroes. */
static void put_back(struct bar *bar, uint64_t at, uint64_t end)
{
	while (at < end) {
		ssize_t n =
			pwrite(bar->memfd, bar->mem + at, end - at, (off_t)at);

		if (n <= 0)
			return;
		at += (uint64_t)n;
	}
}

void bar_open(struct bar *bar)
{
	uint64_t at = 0, end;

	if (bar->memfd < 0 || !bar->closed)
		return;
	if (bar->kept < 0 && bar->mem != bar->view)
		put_back(bar, 0, bar->len);
	for (; next_extent(bar->kept, &at, &end); at = end)
		put_back(bar, at, end);
	if (ftruncate(bar->memfd, (off_t)bar->len) < 0)
		return;
	bar->closed = false;
	bar_drop_kept(bar);
}
