/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The victims' common part. Opens its own /proc files by system calls that the
 * shim has no interest in, and prints with dprintf: one write each.
 */
#include "victim.h"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define PROCMAP_QUERY 0xc0686611u

_Noreturn void victim_fail(const char *file, int line, const char *what,
			   int err)
{
	dprintf(1, "%s:%d: %s (%s)\n", file, line, what, strerror(err));
	_exit(1);
}

static int open_file(const char *name)
{
	int fd = strncmp(name, "fd:", 3) ? open(name, O_RDWR) : atoi(name + 3);

	CHECK(fd >= 0);
	return fd;
}

int victim_main(int argc, char **argv, const struct victim_test *tests)
{
	if (getenv("VICTIM_SANDBOX"))
		victim_sandbox();
	for (; argc > 2 && tests->name; tests++) {
		if (strcmp(argv[2], tests->name))
			continue;
		tests->run(open_file(argv[1]), argv + 3);
		return 0;
	}
	dprintf(1, "usage: %s <file> <test> ...\n", argv[0]);
	return 2;
}

static bool is_kept(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return fd >= VICTIM_KEPT_FROM &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	       type == SOCK_SEQPACKET && fcntl(fd, F_GETFD) == FD_CLOEXEC;
}

static int count_fds(bool kept)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	CHECK(dir);
	for (struct dirent *d; (d = readdir(dir));) {
		int fd = atoi(d->d_name);

		n += d->d_name[0] != '.' && fd != dirfd(dir) &&
		     is_kept(fd) == kept;
	}
	closedir(dir);
	return n;
}

int victim_count_fds(void)
{
	return count_fds(false);
}

int victim_count_kept(void)
{
	return count_fds(true);
}

char *victim_bad_page(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	CHECK(mprotect(p + 4096, 4096, PROT_NONE) == 0);
	return p + 4096;
}

void victim_sandbox(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 3,
			 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROCMAP_QUERY, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0);
}

void victim_drop_root(void)
{
	if (geteuid())
		return;
	CHECK(setresgid(65534, 65534, 65534) == 0);
	CHECK(setresuid(65534, 65534, 65534) == 0);
	/* as a program that never was root */
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
}
