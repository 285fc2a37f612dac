/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * confine [-d NAME]... [-e ERRNO] [-n NOFILE] [-l MEMLOCK] PROGRAM [ARG]...
 *
 * Runs a program as a stricter host would: with system calls forbidden (-d, see
 * the table; -e ENOSYS says "unknown" instead of "forbidden") and with small
 * limits. In front of softvfio it confines daemon and program, in front of the
 * program that one alone.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CANNOT	  77 /* exit status: the test cannot be done here */
#define CALLS_MAX 32 /* of one name */
#define CODE_MAX  512
#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))

#define ONE_IOCTL   0xffffffffu
#define ALL_OF_TYPE 0xff00u

struct facility {
	const char *name;
	int calls[CALLS_MAX]; /* ended by 0: nobody forbids read(2) */
};

/* ioctls that hosts may not know: the bits of one that are looked at. */
struct ioctls {
	const char *name;
	unsigned int mask;
	unsigned int bits;
};

static const struct ioctls unknown[] = {
	{"kvm", ALL_OF_TYPE, 0xae00},		  /* KVMIO */
	{"procmap-query", ONE_IOCTL, 0xc0686611}, /* linux/fs.h since 6.11 */
	{"userfaultfd", ONE_IOCTL, 0xaa00},	  /* of /dev/userfaultfd */
};

static const struct facility facilities[] = {
	{"aio",
	 {SYS_io_setup, SYS_io_destroy, SYS_io_submit, SYS_io_getevents,
	  SYS_io_cancel, SYS_io_pgetevents}},
	{"aio-submit", {SYS_io_submit}},
	{"close_range", {SYS_close_range}},
	{"inotify", {SYS_inotify_init, SYS_inotify_init1}},
	{"io_uring",
	 {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register}},
	{"kcmp", {SYS_kcmp}},
	{"memfd", {SYS_memfd_create}},
	{"perf", {SYS_perf_event_open}},
	{"pidfd", {SYS_pidfd_open, SYS_pidfd_getfd, SYS_pidfd_send_signal}},
	{"process_vm", {SYS_process_vm_readv, SYS_process_vm_writev}},
	{"ptrace", {SYS_ptrace}},
	{"remap", {SYS_remap_file_pages}},
	{"userfaultfd", {SYS_userfaultfd}},
	{"vmsplice", {SYS_vmsplice, SYS_splice, SYS_tee}},
	/* what a container engine's standing profile leaves out */
	{"container",
	 {SYS_acct, SYS_add_key, SYS_bpf, SYS_io_uring_setup,
	  SYS_io_uring_enter, SYS_io_uring_register, SYS_kcmp, SYS_keyctl,
	  SYS_mount, SYS_move_pages, SYS_open_by_handle_at, SYS_perf_event_open,
	  SYS_pivot_root, SYS_request_key, SYS_setns, SYS_umount2, SYS_unshare,
	  SYS_userfaultfd}},
};

static struct sock_filter code[CODE_MAX];
static unsigned short n_code;

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "confine: %s: %s\n", what, strerror(errno));
	exit(CANNOT);
}

static void emit(struct sock_filter f)
{
	if (n_code == CODE_MAX)
		fail("too many system calls");
	code[n_code++] = f;
}

static void begin(void)
{
	emit((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					  offsetof(struct seccomp_data, arch)));
	emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
					  AUDIT_ARCH_X86_64, 1, 0));
	emit((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	emit((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					  offsetof(struct seccomp_data, nr)));
}

static void forbid_call(int nr, int err)
{
	emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
					  (unsigned int)nr, 0, 1));
	emit((struct sock_filter)BPF_STMT(
		BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)err));
}

static void forbid_ioctls(const struct ioctls *i)
{
	const struct sock_filter some[] = {
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[1])),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, i->mask),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, i->bits, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
	};

	for (size_t n = 0; n < COUNT(some); n++)
		emit(some[n]);
}

static bool forbid_calls(const char *name, int err)
{
	for (size_t i = 0; i < COUNT(facilities); i++) {
		const struct facility *f = &facilities[i];

		if (strcmp(f->name, name) != 0)
			continue;
		for (int n = 0; n < CALLS_MAX && f->calls[n]; n++)
			forbid_call(f->calls[n], err);
		return true;
	}
	return false;
}

static void forbid(const char *name, int err)
{
	bool known = forbid_calls(name, err);

	for (size_t i = 0; i < COUNT(unknown); i++) {
		if (strcmp(unknown[i].name, name) != 0)
			continue;
		forbid_ioctls(&unknown[i]);
		known = true;
	}
	if (!known) {
		errno = EINVAL;
		fail(name);
	}
	/* "unknown", so that programs use clone() instead */
	if (!strcmp(name, "container"))
		forbid_call(SYS_clone3, ENOSYS);
}

static void apply(void)
{
	struct sock_fprog prog = {.filter = code};

	emit((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	prog.len = n_code;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		fail("seccomp");
}

/* Soft and hard: nothing inside can raise it again. */
static void limit(int resource, const char *value)
{
	rlim_t n = strtoul(value, NULL, 10);
	const struct rlimit both = {n, n};

	if (setrlimit(resource, &both))
		fail("setrlimit");
}

int main(int argc, char **argv)
{
	int err = EPERM;
	int opt;

	begin();
	while ((opt = getopt(argc, argv, "+d:e:n:l:")) != -1) {
		if (opt == 'd')
			forbid(optarg, err);
		else if (opt == 'e')
			err = !strcmp(optarg, "ENOSYS") ? ENOSYS : EPERM;
		else if (opt == 'n')
			limit(RLIMIT_NOFILE, optarg);
		else if (opt == 'l')
			limit(RLIMIT_MEMLOCK, optarg);
		else
			return CANNOT;
	}
	if (optind >= argc)
		return CANNOT;
	apply();
	execvp(argv[optind], argv + optind);
	fail(argv[optind]);
}
