/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * softvfio serve: a standing instance in the foreground, until SIGINT, SIGTERM
 * or SIGHUP. This process only starts, watches and cleans up.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "cli/instance.h"
#include "cli/machine.h"
#include "lib/cleanup.h"

static int watched_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	signal(SIGCHLD, SIG_DFL); /* an inherited SIG_IGN would hide it */
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static void say_ready(const struct instance *in, const struct conf *devices)
{
	printf("softvfio: instance '%s' is ready:", in->name);
	for (size_t i = 0; i < devices->n_devs; i++) {
		char bdf[BDF_TEXT_MAX];

		bdf_format(&devices->devs[i].bdf, bdf);
		printf("%s %s %s", i ? "," : "", bdf,
		       devices->devs[i].ops->name);
	}
	putchar('\n');
	fflush(stdout);
}

/* Did the daemon end? It is left to spawn_end() to reap it. */
static bool has_ended(pid_t pid)
{
	siginfo_t info = {.si_pid = 0};

	return !waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) &&
	       info.si_pid == pid;
}

/* Returns 0 once asked to end; -EIO when the daemon ended unasked. */
static int wait_end(int signals, pid_t daemon)
{
	while (!has_ended(daemon)) {
		struct signalfd_siginfo si;
		ssize_t n = read(signals, &si, sizeof(si));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == sizeof(si) && si.ssi_signo != SIGCHLD)
			return 0;
	}
	cli_say("the daemon ended by itself");
	return -EIO;
}

static int serve(const struct machine *m)
{
	struct instance in;
	struct spawn daemon;
	int r = instance_standing(m->instance ? m->instance : INSTANCE_DEFAULT,
				  &in);

	if (r)
		return r;
	r = spawn_daemon(&in, &m->devices, &m->daemon, &daemon);
	if (!r) {
		_cleanup_(closep) int signals = watched_signals();

		say_ready(&in, &m->devices);
		r = wait_end(signals, daemon.pid);
		spawn_end(&daemon);
	}
	instance_remove(&in);
	return r;
}

static int serve_main(const struct command *cmd, int argc, char **argv)
{
	struct machine m = {.instance = NULL};
	int status = 0;

	if (machine_options(cmd, argc, argv, &m, &status) &&
	    cli_no_arguments(cmd, argc, argv, &status) &&
	    machine_complete(cmd, &m, &status))
		status = serve(&m) ? EXIT_FAILURE : EXIT_SUCCESS;
	conf_done(&m.devices);
	return status;
}

const struct command cmd_serve = {
	.name = "serve",
	.synopsis = "[--instance NAME] [-d MODEL,...]... [-c FILE]",
	.summary = "keep a machine standing, for `run --instance`",
	.options = machine_option_table,
	.usage_status = EXIT_USAGE,
	.main = serve_main,
};
