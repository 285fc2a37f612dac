/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A daemon that does nothing but what the command line can see of one, so that
 * the tests of the command line can have it misbehave:
 *   STUB=fail     it cannot start
 *   STUB=crash    it dies once the door is open
 *   STUB=litter   it leaves its files behind
 *   STUB=refuse   it answers every question with EIO
 * STUB_LS, STUB_WHY and STUB_REPORT are the JSON it answers with.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "lib/log.h"
#include "lib/proto.h"

static bool told_to(const char *what)
{
	const char *stub = getenv("STUB");

	return stub && !strcmp(stub, what);
}

static int door_open(const char *dir)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/" SV_DOOR,
			 dir);

	if (fd < 0 || n < 0 || (size_t)n >= sizeof(addr.sun_path) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 8)) {
		log_err("stub: door: %s", strerror(errno));
		exit(EXIT_FAILURE);
	}
	return fd;
}

static json_t *answer_in(const char *variable)
{
	const char *text = getenv(variable);

	return json_loads(text ? text : "{}", 0, NULL);
}

/* To be freed. */
static char *answer_text(const char *question)
{
	json_t *json = json_loads(question, 0, NULL);
	const char *cmd = json_string_value(json_object_get(json, "cmd"));
	json_t *answer = NULL;

	if (cmd && !strcmp(cmd, "ls"))
		answer = answer_in("STUB_LS");
	else if (cmd && !strcmp(cmd, "why"))
		answer = answer_in("STUB_WHY");
	else if (cmd && !strcmp(cmd, "report"))
		answer = answer_in("STUB_REPORT");
	if (cmd && !strcmp(cmd, "report")) {
		json_t *why = answer_in("STUB_WHY");

		json_object_update(answer, why);
		json_decref(why);
	}

	char *text = json_dumps(answer ? answer : json, JSON_COMPACT);

	json_decref(answer);
	json_decref(json);
	return text;
}

static void send_answer(int sock, const char *text)
{
	struct sv_reply reply = {
		.magic = SV_REPLY_MAGIC,
		.kind = SV_DONE,
		.seq = 1,
		.result = told_to("refuse") ? -EIO : 0,
	};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&reply, sizeof(reply)};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int fd = memfd_create("answer", MFD_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		exit(EXIT_FAILURE);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	sendmsg(sock, &msg, MSG_NOSIGNAL);
	close(fd);
}

static void serve_one(int door)
{
	const size_t head = sizeof(struct sv_request) + sizeof(struct sv_seg);
	_Alignas(struct sv_request) char buf[512] = "";
	int sock = accept4(door, NULL, NULL, SOCK_CLOEXEC);
	ssize_t n = sock < 0 ? -1 : read(sock, buf, sizeof(buf) - 1);
	const struct sv_request *req = (const void *)buf;

	if (n > (ssize_t)head && req->magic == SV_MAGIC &&
	    req->op == SV_CONTROL && req->n_segs == 1) {
		char *text = answer_text(buf + head);

		send_answer(sock, text);
		free(text);
	}
	if (sock >= 0)
		close(sock);
}

static void clean_up(const char *dir)
{
	char path[256];

	if (told_to("litter"))
		return;
	snprintf(path, sizeof(path), "%s/" SV_TREE "/dev", dir);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/" SV_TREE, dir);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/" SV_DOOR, dir);
	unlink(path);
}

static void make_tree(const char *dir)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/" SV_TREE, dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/" SV_TREE "/dev", dir);
	mkdir(path, 0700);
}

int daemon_run(const struct daemon_conf *conf)
{
	if (told_to("fail")) {
		log_err("stub: told to fail");
		return -EIO;
	}

	int door = door_open(conf->dir);
	struct pollfd p[2] = {
		{.fd = door, .events = POLLIN},
		{.fd = conf->lifeline_fd, .events = POLLIN},
	};

	make_tree(conf->dir);
	if (write(conf->ready_fd, "", 1) != 1)
		return -EIO;
	close(conf->ready_fd);
	log_debug("stub: '%s' is ready, memlock %s", conf->name,
		  conf->memlock_enforce ? "enforce" : "account");
	if (told_to("crash"))
		raise(SIGKILL);
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents)
			break;
		if (p[0].revents)
			serve_one(door);
	}
	close(door);
	clean_up(conf->dir);
	return 0;
}
