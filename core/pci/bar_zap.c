/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * Closing takes references to the populated pages (vmsplice into pipes, which
 * copies nothing), truncates the file, and only then reads the pipes. A store
 * that retired before the truncation is in those very pages; copying first
 * would lose the stores made between copy and truncation.
 *
 * A page that nobody has touched yet has nothing to refer to. In a small BAR
 * all pages are held, which makes those that are missing, so that even the
 * first store to a page is not lost. In a large one that would be a gigabyte of
 * zeroes: there the file is looked at again until it holds no page that we do
 * not, and a page made after that last look (a microsecond) starts anew.
 *
 * Pages once made for what is kept stay, up to a limit: making them anew takes
 * longer than all the rest. Whatever is populated is kept each time, so none of
 * them is ever out of date (bar_clear() empties both).
 *
 * Opening writes the contents back in ascending order into a file that grows
 * behind them, and extends it to its full size last, so that nobody sees zeroes
 * instead. Between the two the contents are in a file of their own, made with
 * the BAR, so that nothing here can run out of anything.
 *
 * To ask the host where there are pages takes a call for each of them, which is
 * as long as to keep it. So what has been put back is written down: it is held
 * at the next closing without asking, and put back by the same list. How many
 * pages a file has is one call, and when that differs from what we know of, a
 * program or the model has made more, and only then the file is searched.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/pci/bar_impl.h"
#include "lib/sched.h"

#define PIPE_BYTES (1u << 20) /* as long as an ordinary user may make one */
#define PIPE_PAGES (PIPE_BYTES / PAGE)
#define SMALL_LEN  (64u << 10) /* up to here all pages are held */
#define LOOKS_MAX  4	       /* then the race is the program's */
#define RETAIN_MAX (16u << 20) /* bytes of contents kept twice, for speed */
#define KNOWN_MAX  4096u       /* extents written down; more are searched for */

/* Pages [first, end) */
struct bar_extent {
	uint64_t first;
	uint64_t end;
};

static uint64_t seen_len(const struct bar *bar)
{
	return size_pages(bar->len / PAGE / 8 + 1);
}

/* All zeroes, and memory only for what is used of it. */
static void *map_sparse(uint64_t len)
{
	void *mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

int bar_make_kept(struct bar *bar)
{
	void *mem;

	bar->kept = memfd_create("kept", MFD_CLOEXEC);
	if (bar->kept < 0 || ftruncate(bar->kept, (off_t)bar->len) < 0)
		return -errno;
	mem = mmap(NULL, bar->len, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_NORESERVE, bar->kept, 0);
	if (mem == MAP_FAILED)
		return -errno;
	bar->kept_mem = mem;
	bar->seen = map_sparse(seen_len(bar));
	bar->known = map_sparse(KNOWN_MAX * sizeof(*bar->known));
	return bar->seen && bar->known ? 0 : -ENOMEM;
}

void bar_drop_kept(struct bar *bar)
{
	if (bar->known)
		munmap(bar->known, KNOWN_MAX * sizeof(*bar->known));
	if (bar->seen)
		munmap(bar->seen, seen_len(bar));
	if (bar->kept_mem)
		munmap(bar->kept_mem, bar->len);
	if (bar->kept >= 0)
		close(bar->kept);
}

static void forget_known(struct bar *bar)
{
	bar->n_known = bar->known_pages = 0;
}

static void punch_kept(struct bar *bar)
{
	if (fallocate(bar->kept, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)bar->len) < 0)
		memset(bar->kept_mem, 0, bar->len);
	bar->retained = false;
}

void bar_empty_kept(struct bar *bar)
{
	if (bar->kept < 0)
		return;
	punch_kept(bar);
	forget_known(bar);
}

static bool is_small(const struct bar *bar)
{
	return bar->len <= SMALL_LEN;
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

/* Pipes */

struct pipe {
	int rd;
	int wr;
};

/* One is kept for the next time: making it costs as much as a small zap. */
static struct {
	atomic_flag taken;
	struct pipe pipe;
	bool made;
} spare = {.taken = ATOMIC_FLAG_INIT};

static bool pipe_make(struct pipe *p)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	*p = (struct pipe){fd[0], fd[1]};
	if (fcntl(fd[1], F_SETPIPE_SZ, PIPE_BYTES) >= (int)PIPE_BYTES)
		return true;
	close(fd[0]);
	close(fd[1]);
	return false;
}

static bool pipe_get(struct pipe *p)
{
	bool had = false;

	if (!atomic_flag_test_and_set(&spare.taken)) {
		had = spare.made;
		*p = spare.pipe;
		spare.made = false;
		atomic_flag_clear(&spare.taken);
	}
	return had || pipe_make(p);
}

static void pipe_put(struct pipe *p, bool empty)
{
	bool kept = false;

	if (empty && !atomic_flag_test_and_set(&spare.taken)) {
		kept = !spare.made;
		if (kept)
			spare.pipe = *p;
		spare.made = true;
		atomic_flag_clear(&spare.taken);
	}
	if (kept)
		return;
	close(p->rd);
	close(p->wr);
}

/* Holding */

/* A pipe full of pages, and where in the contents they belong. */
struct batch {
	struct pipe pipe;
	size_t n;
	size_t pages;
	struct iovec iov[PIPE_PAGES]; /* in the view */
};

struct holding {
	struct bar *bar;
	struct batch *batch[BAR_PIPES_MAX];
	size_t n;	/* those that are held */
	uint64_t pages; /* held or copied */
	bool copied;
};

static uint8_t *kept_at(const struct bar *bar, const struct iovec *iov)
{
	return bar->kept_mem + ((uint8_t *)iov->iov_base - bar->view);
}

/*
 * What no pipe takes is copied now, and a store that comes later is lost. The
 * host does that without mapping either side, so it is faster than a mapping
 * whose pages have to be made.
 */
static void copy_run(struct holding *h, const uint8_t *from, uint64_t len)
{
	struct bar *bar = h->bar;
	off_t at = from - bar->view, end = at + (off_t)len;
	ssize_t n = lseek(bar->kept, at, SEEK_SET) == at;

	while (at < end && n > 0)
		n = sendfile(bar->kept, bar->memfd, &at, (size_t)(end - at));
	if (n < 0)
		memcpy(bar->kept_mem + at, bar->view + at, (size_t)(end - at));
	h->copied = true;
}

static void copy_batch(struct holding *h, const struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		copy_run(h, b->iov[i].iov_base, b->iov[i].iov_len);
}

static bool splice_batch(struct batch *b)
{
	ssize_t n;

	if (!pipe_get(&b->pipe))
		return false;
	n = vmsplice(b->pipe.wr, b->iov, b->n, SPLICE_F_NONBLOCK);
	if (n == (ssize_t)(b->pages * PAGE))
		return true;
	pipe_put(&b->pipe, n <= 0);
	return false;
}

/* References to the pages, no copy: later stores show until the truncation. */
static void hold_batch(struct holding *h)
{
	struct batch *b = h->n < BAR_PIPES_MAX ? h->batch[h->n] : NULL;

	if (!b || !b->n)
		return;
	if (splice_batch(b)) {
		h->n++;
		return;
	}
	copy_batch(h, b);
	b->n = b->pages = 0;
}

static struct batch *batch_with_room(struct holding *h)
{
	if (h->n < BAR_PIPES_MAX && h->batch[h->n] &&
	    h->batch[h->n]->pages == PIPE_PAGES)
		hold_batch(h);
	if (h->n == BAR_PIPES_MAX)
		return NULL;
	if (!h->batch[h->n]) {
		h->batch[h->n] = malloc(sizeof(struct batch));
		if (h->batch[h->n])
			h->batch[h->n]->n = h->batch[h->n]->pages = 0;
	}
	return h->batch[h->n];
}

/* Pages [first, end), none of which is held yet. */
static void hold_run(struct holding *h, uint64_t first, uint64_t end)
{
	struct bar *bar = h->bar;

	h->pages += end - first;
	while (first < end) {
		struct batch *b = batch_with_room(h);
		size_t n = end - first;

		if (!b) {
			copy_run(h, bar->view + first * PAGE, n * PAGE);
			return;
		}
		if (n > PIPE_PAGES - b->pages)
			n = PIPE_PAGES - b->pages;
		b->iov[b->n++] =
			(struct iovec){bar->view + first * PAGE, n * PAGE};
		b->pages += n;
		first += n;
	}
}

/* Sets the page's bit. True: it was not set. */
static bool first_seen(struct bar *bar, uint64_t page)
{
	uint8_t bit = (uint8_t)(1u << page % 8);

	if (bar->seen[page / 8] & bit)
		return false;
	bar->seen[page / 8] |= bit;
	return true;
}

static void hold_extent(struct holding *h, uint64_t first, uint64_t end)
{
	uint64_t run = first;

	for (uint64_t page = first; page < end; page++) {
		if (first_seen(h->bar, page))
			continue;
		if (page > run)
			hold_run(h, run, page);
		run = page + 1;
	}
	if (end > run)
		hold_run(h, run, end);
}

/* A program may have made the file longer than the BAR is. */
static void hold_populated(struct holding *h)
{
	const struct bar *bar = h->bar;
	uint64_t at = 0, end;

	while (next_extent(bar->memfd, &at, &end) && at < bar->len) {
		if (end > bar->len)
			end = bar->len;
		hold_extent(h, at / PAGE, end / PAGE);
		at = end;
	}
	hold_batch(h);
}

static uint64_t populated(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512 / PAGE;
}

static void set_known(struct bar *bar, uint64_t first, uint64_t end)
{
	bar->known[0] = (struct bar_extent){first, end};
	bar->n_known = 1;
	bar->known_pages = end - first;
}

/* All that was put back last, without asking where it is. */
static void hold_known(struct holding *h)
{
	const struct bar *bar = h->bar;

	for (size_t i = 0; i < bar->n_known; i++)
		hold_extent(h, bar->known[i].first, bar->known[i].end);
	hold_batch(h);
}

static void hold_contents(struct holding *h)
{
	struct bar *bar = h->bar;
	struct stat st = {0};

	fstat(bar->memfd, &st);
	/* one that was cut short has no page to make beyond its end */
	if ((uint64_t)st.st_size < bar->len)
		forget_known(bar);
	else if (is_small(bar))
		set_known(bar, 0, bar->len / PAGE);
	if (bar->n_known) {
		hold_known(h);
		fstat(bar->memfd, &st);
	}
	for (int i = 0; i < LOOKS_MAX && populated(&st) != h->pages; i++) {
		hold_populated(h);
		fstat(bar->memfd, &st);
	}
}

/* Keeping */

/* Into pages that are there. */
static bool keep_by_reading(struct bar *bar, const struct batch *b)
{
	struct iovec to[PIPE_PAGES];

	for (size_t i = 0; i < b->n; i++)
		to[i] = (struct iovec){kept_at(bar, &b->iov[i]),
				       b->iov[i].iov_len};
	return readv(b->pipe.rd, to, (int)b->n) == (ssize_t)(b->pages * PAGE);
}

/* Where there are no pages yet, this makes them without zeroing. */
static bool keep_by_splicing(struct bar *bar, const struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		off_t at = kept_at(bar, &b->iov[i]) - bar->kept_mem;
		off_t end = at + (off_t)b->iov[i].iov_len;

		while (at < end)
			if (splice(b->pipe.rd, NULL, bar->kept, &at,
				   (size_t)(end - at), 0) <= 0)
				return false;
	}
	return true;
}

static void keep_batch(struct bar *bar, struct batch *b)
{
	bool whole = bar->retained ? keep_by_reading(bar, b)
				   : keep_by_splicing(bar, b);

	if (!whole) /* no memory: who is missing is not known */
		forget_known(bar);
	pipe_put(&b->pipe, whole);
}

static void forget_seen(struct holding *h, const struct batch *b)
{
	for (size_t i = 0; i < b->n && !h->copied; i++) {
		uint64_t page = (uint64_t)((uint8_t *)b->iov[i].iov_base -
					   h->bar->view) /
				PAGE;

		memset(h->bar->seen + page / 8, 0,
		       (page % 8 + b->iov[i].iov_len / PAGE + 7) / 8);
	}
}

static void truncate_all(struct bar *bar)
{
	sched_point("close: truncate");
	bar->closed = ftruncate(bar->memfd, 0) == 0; /* our own file: it is */
	bar->mem = bar->kept_mem;
}

void zap_close(struct bar *bar)
{
	struct holding h = {.bar = bar};

	if (!bar->seen || bar->closed)
		return;
	sched_point("close: hold");
	hold_contents(&h);
	truncate_all(bar);
	sched_point("close: keep");
	for (size_t i = 0; i < h.n; i++) {
		keep_batch(bar, h.batch[i]);
		forget_seen(&h, h.batch[i]);
	}
	if (h.copied)
		madvise(bar->seen, seen_len(bar), MADV_DONTNEED);
	for (size_t i = 0; i < BAR_PIPES_MAX && h.batch[i]; i++)
		free(h.batch[i]);
}

void zap_discard(struct bar *bar)
{
	if (!bar->seen)
		return;
	if (!bar->closed)
		truncate_all(bar);
	bar_empty_kept(bar);
}

/* Pages that the daemon has not mapped are copied faster by the host. */
static ssize_t put_back_some(struct bar *bar, uint64_t at, uint64_t len)
{
	off_t from = (off_t)at;
	ssize_t n = 0;

	if (!bar->retained && lseek(bar->memfd, from, SEEK_SET) == from)
		n = sendfile(bar->memfd, bar->kept, &from, len);
	return n > 0 ? n : pwrite(bar->memfd, bar->mem + at, len, (off_t)at);
}

struct filling {
	struct bar *bar;
	uint64_t pages;
	uint64_t end; /* of the file */
};

/* Ascending, the file growing behind the data, so that nobody sees zeroes.
 * False: the host has no memory for all of it. */
static bool put_back(struct filling *f, uint64_t at, uint64_t end)
{
	f->pages += (end - at) / PAGE;
	f->end = end;
	while (at < end) {
		ssize_t n = put_back_some(f->bar, at, end - at);

		if (n <= 0)
			return false;
		at += (uint64_t)n;
		sched_point("open: put back");
	}
	return true;
}

/* A part of it is none of it; what was stored into that part is kept. */
static void close_again(struct bar *bar)
{
	bar->closed = false;
	zap_close(bar);
}

static bool put_back_known(struct filling *f)
{
	const struct bar *bar = f->bar;
	bool whole = true;

	for (size_t i = 0; i < bar->n_known && whole; i++)
		whole = put_back(f, bar->known[i].first * PAGE,
				 bar->known[i].end * PAGE);
	return whole;
}

static bool search_and_put_back(struct filling *f)
{
	struct bar *bar = f->bar;
	uint64_t at = 0, end;
	size_t n = 0;

	forget_known(bar);
	for (; next_extent(bar->kept, &at, &end); at = end) {
		if (!put_back(f, at, end))
			return false;
		if (n++ < KNOWN_MAX)
			bar->known[n - 1] =
				(struct bar_extent){at / PAGE, end / PAGE};
	}
	bar->n_known = n <= KNOWN_MAX ? n : 0;
	bar->known_pages = n <= KNOWN_MAX ? f->pages : 0;
	return true;
}

/* All that is kept, unless the model has written to more meanwhile. */
static bool is_all_known(const struct bar *bar)
{
	struct stat st;

	return bar->known_pages == bar->len / PAGE ||
	       (fstat(bar->kept, &st) == 0 &&
		populated(&st) == bar->known_pages);
}

/* To be written over by the next closing, or gone. */
static void retain_or_empty(struct bar *bar, uint64_t bytes)
{
	bar->retained = bytes && bytes <= RETAIN_MAX;
	if (bytes > RETAIN_MAX)
		punch_kept(bar);
}

void zap_open(struct bar *bar)
{
	struct filling f = {.bar = bar};
	bool whole;

	if (!bar->seen || !bar->closed)
		return;
	if (is_all_known(bar))
		whole = put_back_known(&f);
	else
		whole = search_and_put_back(&f);
	sched_point("open: extend");
	if (whole && f.end != bar->len)
		whole = ftruncate(bar->memfd, (off_t)bar->len) == 0;
	if (whole)
		whole = bar_mend_view(bar);
	if (!whole) {
		close_again(bar);
		return;
	}
	bar->closed = false;
	bar->mem = bar->view;
	retain_or_empty(bar, f.pages * PAGE);
}
