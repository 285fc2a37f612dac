/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon runs in a fork of this process, so it is this very version. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/instance.h"
#include "cli/spawn.h"
#include "daemon/daemon.h"
#include "lib/cleanup.h"
#include "lib/log.h"

#define END_SECONDS 5 /* to write back and clean up; then it is killed */

/*
 * stdin and stdout are the program's: a reader of our output must see its end
 * when the program's is.
 */
static void let_go_of_stdio(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (null > STDERR_FILENO)
		close(null);
}

static void default_signals(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_IGN);
	/* a disk image at its limit is the program's trouble, not our end */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void be_daemon(const struct instance *in,
				const struct conf *devices,
				const struct spawn_options *opts, pid_t parent,
				int ready, int lifeline)
{
	const struct daemon_conf conf = {
		.dir = in->dir,
		.dir_fd = in->fd,
		.name = in->name,
		.devices = devices,
		.ready_fd = ready,
		.lifeline_fd = lifeline,
		.memlock_enforce = opts->memlock_enforce,
		.verbose = opts->verbose,
	};

	/* while it starts: a device may take for ever to begin */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	setsid();
	let_go_of_stdio();
	default_signals();
	if (opts->verbose)
		log_level = LOG_DEBUG;
	exit(daemon_run(&conf) ? EXIT_FAILURE : EXIT_SUCCESS);
}

static bool wait_ready(int fd)
{
	char byte;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	return n == 1;
}

int spawn_daemon(const struct instance *in, const struct conf *devices,
		 const struct spawn_options *opts, struct spawn *ret)
{
	int ready[2] = {-1, -1};
	int lifeline[2] = {-1, -1};
	int r = 0;

	pid_t self = getpid();

	fflush(NULL);
	if (pipe2(ready, O_CLOEXEC) || pipe2(lifeline, O_CLOEXEC)) {
		r = -errno;
		goto err_pipes;
	}
	ret->pid = fork();
	if (ret->pid < 0) {
		r = -errno;
		goto err_pipes;
	}
	if (!ret->pid) {
		close(ready[0]);
		close(lifeline[1]);
		be_daemon(in, devices, opts, self, ready[1], lifeline[0]);
	}
	close(ready[1]);
	close(lifeline[0]);
	ret->lifeline = lifeline[1];

	bool ok = wait_ready(ready[0]);

	close(ready[0]);
	if (ok)
		return 0;
	spawn_end(ret);
	return -EIO;

err_pipes:
	cli_say("cannot start the daemon: %s", strerror(-r));
	for (int i = 0; i < 2; i++) {
		closep(&ready[i]);
		closep(&lifeline[i]);
	}
	return r;
}

/* Give it time to clean up; when it takes longer, do not wait for ever. */
static void kill_if_stuck(pid_t pid)
{
	_cleanup_(closep) int fd = pidfd_open(pid, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n;

	if (fd < 0)
		return;
	do
		n = poll(&p, 1, END_SECONDS * 1000);
	while (n < 0 && errno == EINTR);
	if (n)
		return;
	cli_say("the daemon did not end within %d s and is killed",
		END_SECONDS);
	kill(pid, SIGKILL);
}

void spawn_end(struct spawn *s)
{
	int status = 0;

	close(s->lifeline);
	if (!s->pid)
		return;
	kill_if_stuck(s->pid);
	while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		cli_say("the daemon was ended by signal %d (%s)",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	s->pid = 0;
}
