/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * The program shares our process group, so what a terminal sends (SI_KERNEL)
 * reaches it without us, and only what a process sent to us by kill() is
 * handed on. We block everything and learn of it from a signalfd, our child's
 * stops and end included.
 *
 * When job control stops the program we stop too: then a shell sees the job
 * stopped, and its SIGCONT, being for the group, reaches both. Only when the
 * stop was for us as well, though: a program that somebody stops and continues
 * alone would leave us stopped for ever. Its stop and our signal may come in
 * either order.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/control.h"
#include "cli/program.h"
#include "lib/cleanup.h"
#include "lib/proc.h"
#include "lib/proto.h"

#define ENV_SHIM "SOFTVFIO_SHIM"
#define SHIM	 "libsoftvfio.so"

/* Finding the shim */

static int find_beside(char path[PATH_MAX])
{
	/* from the directory of this program; SHIM_FROM_BIN is meson's */
	static const char *const places[] = {
		"../shim/" SHIM,
		SHIM_FROM_BIN "/" SHIM,
	};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return -ENOENT;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		char *try = NULL;
		bool absolute = places[i][0] == '/';

		if (asprintf(&try, "%s%s%s", absolute ? "" : self,
			     absolute ? "" : "/", places[i]) < 0)
			return -ENOMEM;

		bool found = realpath(try, path);

		free(try);
		if (found)
			return 0;
	}
	return -ENOENT;
}

int program_shim(char path[PATH_MAX])
{
	const char *given = getenv(ENV_SHIM);

	if (given && *given) {
		if (!realpath(given, path)) {
			cli_say("%s=%s: %s", ENV_SHIM, given, strerror(errno));
			return -ENOENT;
		}
	} else if (find_beside(path)) {
		cli_say("cannot find " SHIM " beside this program; set %s to "
			"its path",
			ENV_SHIM);
		return -ENOENT;
	}
	if (strpbrk(path, ": ")) {
		cli_say("LD_PRELOAD cannot name '%s', which has a blank or "
			"colon in it",
			path);
		return -EINVAL;
	}
	return 0;
}

/* Starting the program */

/* Without it the shim asks at the door. */
static int name_daemon(const char *dir)
{
	struct ucred cred;
	char text[64];

	if (control_daemon(dir, &cred))
		return unsetenv(SV_ENV_DAEMON);
	snprintf(text, sizeof(text), "%d:%llu:%u", (int)cred.pid,
		 proc_start(cred.pid), cred.uid);
	return setenv(SV_ENV_DAEMON, text, 1);
}

static int set_environment(const char *dir, const char *shim)
{
	const char *others = getenv("LD_PRELOAD");
	char *preload = NULL;

	if (asprintf(&preload, "%s%s%s", shim, others && *others ? ":" : "",
		     others ? others : "") < 0)
		return -ENOMEM;

	int r = setenv("LD_PRELOAD", preload, 1) ||
		setenv(SV_ENV_DIR, dir, 1) || name_daemon(dir);

	free(preload);
	return r ? -ENOMEM : 0;
}

/* What is ours to change in this process and must not show in the program */
struct saved {
	sigset_t mask;
	struct sigaction chld;
	pid_t self;
};

static _Noreturn void be_program(char **argv, const char *dir, const char *shim,
				 const struct saved *saved)
{
	if (set_environment(dir, shim)) {
		cli_say("out of memory");
		_exit(EXIT_OWN_FAILURE);
	}
	/* whoever kills us meant the program: we stand in for it */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != saved->self)
		_exit(EXIT_OWN_FAILURE);
	sigaction(SIGCHLD, &saved->chld, NULL);
	sigprocmask(SIG_SETMASK, &saved->mask, NULL);
	execvp(argv[0], argv);

	int err = errno;

	cli_say("cannot run '%s': %s", argv[0], strerror(err));
	_exit(err == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE);
}

/* Signals */

static void take_over_signals(struct saved *saved)
{
	const struct sigaction standard = {.sa_handler = SIG_DFL};
	sigset_t all;

	saved->self = getpid();
	/* an inherited SIG_IGN would reap the program without telling us */
	sigaction(SIGCHLD, &standard, &saved->chld);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &saved->mask);
}

/* The program while it runs */
struct watch {
	pid_t pid;
	int status;
	bool stopped;	    /* it is */
	bool asked_to_stop; /* we were, by job control */
};

static bool is_job_stop(int sig)
{
	return sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

static void stop_with_it(struct watch *w)
{
	if (!w->stopped || !w->asked_to_stop)
		return;
	w->asked_to_stop = false;
	w->stopped = false; /* what continues us continues it */
	raise(SIGSTOP);
}

/* See what happened to the program; true when it has ended. */
static bool watch_program(struct watch *w)
{
	int flags = WUNTRACED | WCONTINUED | WNOHANG;
	int status;

	while (waitpid(w->pid, &status, flags) == w->pid) {
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			w->status = status;
			return true;
		}
		w->stopped = WIFSTOPPED(status);
		stop_with_it(w);
	}
	return false;
}

static void watch_signal(struct watch *w, const struct signalfd_siginfo *si)
{
	int sig = (int)si->ssi_signo;

	if (sig == SIGCHLD)
		return;
	if (si->ssi_code <= 0 && (pid_t)si->ssi_pid != w->pid)
		kill(w->pid, sig);
	if (sig == SIGCONT)
		w->asked_to_stop = false;
	if (is_job_stop(sig)) {
		w->asked_to_stop = true;
		stop_with_it(w);
	}
}

static int watch_until_end(int fd, struct watch *w)
{
	while (!watch_program(w)) {
		struct signalfd_siginfo si;
		ssize_t n = read(fd, &si, sizeof(si));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == sizeof(si))
			watch_signal(w, &si);
	}
	return 0;
}

int program_run(char **argv, const char *dir, const char *shim, int *ret_status)
{
	struct saved saved;
	sigset_t all;

	sigfillset(&all);
	take_over_signals(&saved);

	_cleanup_(closep) int fd = signalfd(-1, &all, SFD_CLOEXEC);
	struct watch w = {.pid = fd < 0 ? -1 : fork()};

	if (!w.pid)
		be_program(argv, dir, shim, &saved);

	int r = w.pid < 0 ? -errno : watch_until_end(fd, &w);

	if (r)
		cli_say("cannot run '%s': %s", argv[0], strerror(-r));
	else
		*ret_status = w.status;
	return r;
}

/* The program left the core if there is to be one; ours would say nothing. */
static void die_by(int sig)
{
	const struct rlimit none = {0, 0};
	sigset_t set;

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0); /* a core_pattern pipe knows no limit */
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	raise(sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

_Noreturn void program_exit(int status)
{
	fflush(NULL);
	if (WIFEXITED(status))
		exit(WEXITSTATUS(status));
	die_by(WTERMSIG(status));
	exit(128 + WTERMSIG(status)); /* it did not kill us: as a shell says */
}
