/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each request is made while the host fails one memory, descriptor or thread
 * after the other, until none is left to fail. Each time the answer is success
 * or the errno of having too little of something, the same request then
 * succeeds, nothing is left behind once the program has gone, and another
 * program does all it wants with the same function.
 */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <linux/pci_regs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "inject.h"
#include "lib/cleanup.h"
#include "requests.h"
#include "tests/sched/host.h"
#include "tests/unit/fds.h"
#include "uapi/vfio.h"

/* The function that most is asked of, and one whose BAR is registers. */
static const char *const machine[] = {
	"plain,bar0=64K,msix=4,msi=2",
	"edu",
	NULL,
};

#define MEMORY_BDF  "0000:01:00.0"
#define TRAPPED_BDF "0000:02:00.0"

static struct host host;
static int fds_before;

/* --- what has to hold afterwards --- */

static void expect_done(const char *what, int64_t r)
{
	sched_expect(r >= 0, "afterwards: %s: %s", what, strerror((int)-r));
}

/* Nobody has it open, so no BAR of it opens, whatever COMMAND says. */
static void check_closed(const char *bdf)
{
	uint16_t on = PCI_COMMAND_MEMORY, off = 0;
	struct prog p;

	prog_begin(&p, &host, bdf, 0, CONNECTED);
	int config = (int)prog_keep(&p, prog_open_sysfs(&p, "config"));

	expect_done("config", config);
	expect_done("COMMAND",
		    client_write(&p.c, config, PCI_COMMAND, &on, sizeof(on)));
	sched_expect(client_fault(&p.c, prog_bar_id(&p, 0), 0) < 0,
		     "afterwards: %s: a BAR is open, the function is not", bdf);
	expect_done("COMMAND",
		    client_write(&p.c, config, PCI_COMMAND, &off, sizeof(off)));
	prog_end(&p);
}

/* The first program after all this. */
static void check_works(const char *bdf, unsigned int number)
{
	struct prog p;
	uint32_t val;

	prog_begin(&p, &host, bdf, number, DECODES);
	expect_done("mmap", prog_map_bar(&p, 0));
	expect_done("read",
		    client_read(&p.c, p.device, REGION(0), &val, sizeof(val)));
	if (!strcmp(bdf, MEMORY_BDF))
		*(volatile uint32_t *)p.map = 1;
	expect_done("reset", client_ioctl_val(&p.c, p.device, "RESET",
					      VFIO_DEVICE_RESET, 0));
	expect_done("MAP_DMA", client_map_dma(&p.c, p.container, 0, p.memory,
					      MAP_LEN, -1));
	prog_end(&p);
}

/* Whoever asks waits until those that have gone are released; what was sent is
 * closed a moment after it was. */
static void check_nothing_left(const char *what, unsigned int n, void *from)
{
	unsigned long deadline = host_deadline();
	struct prog p;

	do {
		prog_begin(&p, &host, MEMORY_BDF, 0, CONNECTED);
		expect_done("ls", client_control(&p.c, "{\"cmd\": \"ls\"}"));
		prog_end(&p);
		sched_expect(!host_is_late(deadline),
			     "%s, call %u failed (%p): %d descriptors, %d "
			     "before",
			     what, n, from, count_fds(), fds_before);
	} while (count_fds() > fds_before);
}

/* --- the sweep --- */

/* What having too little of something is called; ENODEV: nobody answered. */
static bool is_shortage(int64_t r)
{
	static const int shortages[] = {ENOMEM, EMFILE, ENFILE, ENOSPC,
					EAGAIN, ENOLCK, ENODEV};

	for (size_t i = 0; i < ARRAY_SIZE(shortages); i++)
		if (r == -shortages[i])
			return true;
	return false;
}

/* A refusal changes nothing that would be in the way of trying again. */
static void check_again(const struct request_row *row, struct prog *p,
			int64_t refused)
{
	if (row->undo || refused == -ENODEV)
		return;

	if (row->ask == prog_open_device)
		check_closed(p->bdf);

	int64_t r = row->ask(p);

	sched_expect(r >= 0, "%s: %s, and then: %s", row->name,
		     strerror((int)-refused), strerror((int)-r));
}

static void check_gate(const struct request_row *row, struct prog *p)
{

	if (row->gate == GATE_ANY)
		return;

	bool open = client_fault(&p->c, prog_bar_id(p, 0), 0) == 0;

	sched_expect(open == (row->gate == GATE_KEPT), "%s: the BAR is %s",
		     row->name, open ? "open" : "closed");
	for (size_t i = 0; open && i < MAP_LEN; i++)
		sched_expect(((volatile uint8_t *)p->map)[i] == STORED,
			     "%s: byte %zu of the BAR is lost", row->name, i);
}

static struct injected ask_failing(const struct request_row *row,
				   unsigned int n, bool lasting)
{
	struct prog p;

	prog_begin(&p, &host, row->trapped ? TRAPPED_BDF : MEMORY_BDF,
		   row->trapped ? 2 : 1, row->stage);
	if (row->prepare)
		row->prepare(&p);
	inject_arm(n, lasting);

	int64_t r = row->ask(&p);
	struct injected in = inject_disarm();

	/* what has no memory for a word takes it for a wrong one: jansson */
	bool word = r == -EINVAL && row->op == SV_CONTROL;

	sched_expect(r >= 0 || (in.call && (is_shortage(r) || word)),
		     "%s, call %u (%s, %p) failed: %s", row->name, n,
		     in.call ? in.call : "none", in.from, strerror((int)-r));
	if (r == -ENODEV)
		prog_connect(&p);
	if (r < 0)
		check_again(row, &p, r);
	if (r >= 0 || !row->undo)
		check_gate(row, &p);
	if (row->undo)
		row->undo(&p);
	prog_end(&p);
	return in;
}

/* An answer of thousands of words is not swept word by word. */
static unsigned int after(unsigned int n)
{
	return n < 100 ? n + 1 : n + n / 8;
}

static void sweep(const struct request_row *row, bool lasting)
{
	struct injected in = {"", NULL};

	for (unsigned int n = 1; in.call; n = after(n)) {
		in = ask_failing(row, n, lasting);
		check_nothing_left(row->name, n, in.from);
		check_closed(MEMORY_BDF);
		check_works(MEMORY_BDF, 1);
		if (row->trapped)
			check_works(TRAPPED_BDF, 2);
	}
}

static void test_request(void **state)
{
	sweep(*state, false);
	sweep(*state, true);
}

/* --- is every request swept? --- */

static bool has_row(enum sv_op op, enum on on, unsigned int cmd,
		    const char *file)
{
	for (size_t i = 0; i < n_request_rows; i++) {
		const struct request_row *row = &request_rows[i];

		if (row->op == op && row->on == on &&
		    (op != SV_IOCTL || row->cmd == cmd) &&
		    (!file || !strcmp(row->file, file)))
			return true;
	}
	return false;
}

static void test_every_operation_is_swept(void **state)
{
	for (unsigned int op = 1; op < SV_OP_END; op++) {
		bool swept = false;

		for (size_t i = 0; i < n_request_rows; i++)
			if (request_rows[i].op == op)
				swept = true;
		sched_expect(swept, "operation %u is not swept", op);
	}
}

/* What is no ioctl of a file says ENOTTY. */
static void test_every_ioctl_is_swept(void **state)
{
	struct prog p;

	prog_begin(&p, &host, MEMORY_BDF, 1, DEVICE);
	const int files[] = {
		[ON_CONTAINER] = p.container,
		[ON_GROUP] = p.group,
		[ON_DEVICE] = p.device,
	};
	for (enum on on = ON_CONTAINER; on <= ON_DEVICE; on++)
		for (unsigned int nr = 0; nr < 256; nr++) {
			unsigned int cmd = _IO(';', nr);
			int64_t r = client_ioctl_val(&p.c, files[on], "ioctl",
						     cmd, 0);

			sched_expect(r == -ENOTTY ||
					     has_row(SV_IOCTL, on, cmd, NULL),
				     "ioctl %#x of file %u is not swept", cmd,
				     on);
		}
	prog_end(&p);
}

static struct prog *walker;

static int visit(const char *path, const struct stat *st, int kind,
		 struct FTW *ftw)
{
	char name[160];
	int fd;

	if (kind == FTW_D || kind == FTW_SL || !strstr(path, "/sys/"))
		return 0;
	snprintf(name, sizeof(name), "%s", strstr(path, "/root/") + 5);
	fd = client_open(&walker->c, name);
	if (fd < 0)
		return 0;
	close(fd);
	sched_expect(has_row(SV_WRITE, ON_SYSFS, 0, strrchr(name, '/') + 1),
		     "%s is not swept", name);
	return 0;
}

static void test_every_file_of_sys_is_swept(void **state)
{
	char root[96];
	struct prog p;

	prog_begin(&p, &host, MEMORY_BDF, 1, CONNECTED);
	walker = &p;
	snprintf(root, sizeof(root), "%s/root", host.dir);
	sched_expect(nftw(root, visit, 16, FTW_PHYS) == 0, "%s: %s", root,
		     strerror(errno));
	prog_end(&p);
}

/* What is made once and kept is made by then. */
static void warm_up(void)
{
	for (int i = 0; i < 3; i++)
		for (size_t k = 0; k < n_request_rows; k++)
			ask_failing(&request_rows[k], 0, false);
	fds_before = count_fds();
}

int main(void)
{
	static struct CMUnitTest tests[128] = {
		cmocka_unit_test(test_every_operation_is_swept),
		cmocka_unit_test(test_every_ioctl_is_swept),
		cmocka_unit_test(test_every_file_of_sys_is_swept),
	};
	size_t n = 3;

	for (size_t i = 0; i < n_request_rows; i++)
		tests[n++] = (struct CMUnitTest){
			.name = request_rows[i].name,
			.test_func = test_request,
			.initial_state = (void *)(uintptr_t)&request_rows[i],
		};
	inject_spare_me(true);
	inject_json();
	host_on_failure(inject_report);
	host_begin(&host, machine);
	sched_expect(host_start(&host), "the daemon does not start");
	host_learn_bars(&host);
	warm_up();

	int failed = _cmocka_run_group_tests("requests", tests, n, NULL, NULL);

	host_stop(&host);
	host_end(&host);
	return failed;
}
