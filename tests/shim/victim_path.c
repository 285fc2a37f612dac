/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls one function after another that takes a path, and prints what came
 * back, a line each. Arguments come in pairs: the function, the path.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void failed(const char *what)
{
	printf("%s\n", strerrorname_np(errno) ? strerrorname_np(errno) : what);
}

static void print_stat(int r, const struct stat *st)
{
	if (r < 0)
		failed("stat");
	else
		printf("%o %u:%u %ld\n", st->st_mode, major(st->st_rdev),
		       minor(st->st_rdev), (long)st->st_size);
}

static void do_stat(const char *path)
{
	struct stat st;

	print_stat(stat(path, &st), &st);
}

static void do_lstat(const char *path)
{
	struct stat st;

	print_stat(lstat(path, &st), &st);
}

/* An open directory of the tree, then a name in it. */
static int parent(const char *path, const char **ret_name)
{
	static char dir[PATH_MAX];

	strcpy(dir, path);
	*strrchr(dir, '/') = '\0';
	*ret_name = strrchr(path, '/') + 1;
	return open(dir, O_RDONLY | O_DIRECTORY);
}

static void do_fstatat(const char *path)
{
	struct stat st;
	const char *name;
	int dir = parent(path, &name);

	print_stat(fstatat(dir, name, &st, 0), &st);
	close(dir);
}

static void do_statx(const char *path)
{
	struct statx stx;

	if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &stx))
		failed("statx");
	else
		printf("%o %u:%u %ld\n", stx.stx_mode, stx.stx_rdev_major,
		       stx.stx_rdev_minor, (long)stx.stx_size);
}

static void do_fstat(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY);

	print_stat(fd < 0 ? -1 : fstat(fd, &st), &st);
	close(fd);
}

static void do_fstat_path(const char *path)
{
	struct stat st;
	int fd = open(path, O_PATH);

	print_stat(fd < 0 ? -1 : fstat(fd, &st), &st);
	close(fd);
}

static void do_stat_proc(const char *path)
{
	char name[32];
	int fd = open(path, O_RDONLY);

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	do_stat(name);
	close(fd);
}

/* Opens, and says what the descriptor is. */
static void say_fd(int fd)
{
	char name[64], text[PATH_MAX];

	if (fd < 0) {
		failed("open");
		return;
	}
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);

	ssize_t n = readlink(name, text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = '\0';
	printf("%s%s\n", text,
	       fcntl(fd, F_GETFD) & FD_CLOEXEC ? " cloexec" : "");
	close(fd);
}

static void do_open(const char *path)
{
	say_fd(open(path, O_RDONLY));
}

static void do_open_write(const char *path)
{
	say_fd(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
}

static void do_creat(const char *path)
{
	say_fd(creat(path, 0600));
}

static void do_openat(const char *path)
{
	const char *name;
	int dir = parent(path, &name);

	say_fd(openat(dir, name, O_RDWR));
	close(dir);
}

static void do_syscall(const char *path)
{
	say_fd((int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR));
}

/* By the number of an open file, as shells do. */
static void do_reopen(const char *path)
{
	char name[32];
	int fd = open(path, O_RDWR);

	snprintf(name, sizeof(name), "/dev/fd/%d", fd);
	say_fd(open(name, O_RDWR));
	close(fd);
}

/* Every way to name one's own descriptor. */
static void do_fd_links(const char *path)
{
	char name[64], text[64];
	int fd = open(path, O_RDWR), dir = open("/proc/self/fd", O_RDONLY);
	const char *const forms[] = {"/proc/self/fd/%d",
				     "/proc/thread-self/fd/%d",
				     "/proc/%2$d/fd/%1$d", "/dev/fd/%d"};
	ssize_t n;

	for (int i = 0; i < 4; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(name, sizeof(name), forms[i], fd, getpid());
#pragma GCC diagnostic pop
		n = readlink(name, text, sizeof(text));
		printf("%.*s ", (int)n, text);
	}
	snprintf(name, sizeof(name), "%d", fd);
	n = readlinkat(dir, name, text, sizeof(text));
	printf("%.*s ", (int)n, text);
	n = readlinkat(dir, name, text, 4);
	printf("%zd\n", n);
	close(fd);
	close(dir);
}

static void do_readlink(const char *path)
{
	char text[PATH_MAX];
	ssize_t n = readlink(path, text, sizeof(text));

	if (n < 0)
		failed("readlink");
	else
		printf("%.*s\n", (int)n, text);
}

static void do_realpath(const char *path)
{
	char *mine = realpath(path, NULL), buf[PATH_MAX];
	char *other = canonicalize_file_name(path);

	if (!mine || !other || strcmp(mine, other) ||
	    strcmp(realpath(path, buf), mine))
		failed("realpath");
	else
		puts(mine);
	free(mine);
	free(other);
}

static void do_access(const char *path)
{
	int r = access(path, F_OK) ? 0 : 4;

	r |= access(path, R_OK) ? 0 : 2;
	r |= faccessat(AT_FDCWD, path, W_OK, 0) ? 0 : 1;
	printf("%d %d\n", r, eaccess(path, R_OK));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void do_list(const char *path)
{
	char line[64][300], *sorted[64];
	DIR *d = opendir(path);
	struct dirent *e;
	int n = 0;

	if (!d) {
		failed("opendir");
		return;
	}
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(line[n], sizeof(line[n]), "%s/%u", e->d_name,
			 e->d_type);
		sorted[n] = line[n];
		n++;
	}
	closedir(d);
	qsort(sorted, (size_t)n, sizeof(*sorted), by_name);
	for (int i = 0; i < n; i++)
		printf("%s%c", sorted[i], i + 1 < n ? ' ' : '\n');
}

static int visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void do_scandir(const char *path)
{
	struct dirent **list;
	int n = scandir(path, &list, visible, alphasort);

	if (n < 0)
		failed("scandir");
	for (int i = 0; i < n; i++) {
		printf("%s/%u%c", list[i]->d_name, list[i]->d_type,
		       i + 1 < n ? ' ' : '\n');
		free(list[i]);
	}
}

static void do_glob(const char *path)
{
	glob_t g = {.gl_offs = 0};
	int r = glob(path, GLOB_BRACE, NULL, &g);

	printf("%d", r);
	for (size_t i = 0; r == 0 && i < g.gl_pathc; i++)
		printf(" %s", g.gl_pathv[i]);
	putchar('\n');
	globfree(&g);
}

static int walked(const char *path, const struct stat *st, int type,
		  struct FTW *at)
{
	printf("%s:%s:%o ", path, path + at->base, st->st_mode & S_IFMT);
	return 0;
}

static void do_nftw(const char *path)
{
	printf("%d\n", nftw(path, walked, 4, FTW_PHYS));
}

static int walked_simply(const char *path, const struct stat *st, int type)
{
	printf("%s:%o ", path, st->st_mode & S_IFMT);
	return 0;
}

static void do_ftw(const char *path)
{
	printf("%d\n", ftw(path, walked_simply, 4));
}

static void do_cat(const char *path)
{
	char buf[600];
	FILE *f = fopen(path, "r");

	if (!f) {
		failed("fopen");
		return;
	}

	size_t n = fread(buf, 1, sizeof(buf), f);
	printf("%zu bytes, first %02x, last %02x\n", n, (unsigned char)buf[0],
	       (unsigned char)buf[n - 1]);
	fclose(f);
}

static void do_refresh(const char *path)
{
	char buf[600];
	FILE *f = freopen(path, "r", fopen("/dev/null", "r"));

	if (!f) {
		failed("freopen");
		return;
	}
	printf("%zu bytes\n", fread(buf, 1, sizeof(buf), f));
	fclose(f);
}

static void do_patch(const char *path)
{
	FILE *f = fopen(path, "r+");

	if (!f) {
		failed("fopen");
		return;
	}

	int ok = fseek(f, 4, SEEK_SET) == 0 && fputs("ab", f) >= 0 &&
		 fseek(f, 4, SEEK_SET) == 0 && fgetc(f) == 'a' &&
		 fgetc(f) == 'b' && fseek(f, 0, SEEK_END) == 0;
	printf("%d %ld", ok, ftell(f));
	printf(" %d\n", fclose(f));
}

static void do_chdir(const char *path)
{
	char buf[PATH_MAX];
	struct stat st;

	if (chdir(path) || !getcwd(buf, sizeof(buf))) {
		failed("chdir");
		return;
	}
	printf("%s ", buf);
	print_stat(stat("config", &st), &st);
	say_fd(open("config", O_RDONLY));
	do_realpath("vendor");
	if (chdir("/"))
		failed("chdir");
}

static void try_pointer(const char *path)
{
	struct stat st;

	say_fd(open(path, O_RDONLY));
	print_stat(stat(path, &st), &st);
	do_access(path);
}

/* Paths that are no memory, and one that ends where memory does. */
static void do_pointers(const char *path)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), len = strlen(path) + 1;
	char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mprotect(p + page, page, PROT_NONE))
		exit(1);
	try_pointer((char *)page);
	try_pointer(p + page);
	try_pointer((char *)UINTPTR_MAX);
	memcpy(p + page - len, path, len);
	do_access(p + page - len);
	p[page - 1] = '/';
	try_pointer(p + page - 1);
}

static const struct {
	const char *name;
	void (*run)(const char *path);
} functions[] = {
	{"stat", do_stat},
	{"lstat", do_lstat},
	{"fstatat", do_fstatat},
	{"statx", do_statx},
	{"fstat", do_fstat},
	{"fstat_path", do_fstat_path},
	{"stat_proc", do_stat_proc},
	{"open", do_open},
	{"open_write", do_open_write},
	{"creat", do_creat},
	{"openat", do_openat},
	{"syscall", do_syscall},
	{"reopen", do_reopen},
	{"fd_links", do_fd_links},
	{"readlink", do_readlink},
	{"realpath", do_realpath},
	{"access", do_access},
	{"list", do_list},
	{"scandir", do_scandir},
	{"glob", do_glob},
	{"nftw", do_nftw},
	{"ftw", do_ftw},
	{"cat", do_cat},
	{"refresh", do_refresh},
	{"patch", do_patch},
	{"chdir", do_chdir},
	{"pointers", do_pointers},
};

int main(int argc, char **argv)
{
	size_t n = sizeof(functions) / sizeof(functions[0]);

	for (int i = 1; i + 1 < argc; i += 2) {
		for (size_t k = 0; k < n; k++) {
			if (!strcmp(argv[i], functions[k].name))
				functions[k].run(argv[i + 1]);
		}
	}
	return 0;
}
