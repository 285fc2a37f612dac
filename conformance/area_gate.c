/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory gate: each way to close it and open it again, looked at through
 * mappings, calls and other processes; what goes on behind it; and what of a
 * function decodes when.
 */
#include <linux/pci_regs.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "conformance/gate.h"
#include "conformance/type1.h"

#define DMA_AT 0x200000u

static struct vfio v;

/* What the case is about. */
static const struct role *role;
static const struct way *way;

static void close_gate(void)
{
	way->close(&v);
}

static void open_gate(void)
{
	way->open(&v);
}

static uint64_t bar(void)
{
	return REGION(role->bar);
}

static void keep(void)
{
	wr32(v.device, kept_at(role), KEPT);
}

static void say_read(const char *key)
{
	say_kept(key, role, rd32(v.device, kept_at(role)));
}

/*
 * Looks at the gate through @m, a mapping of two pages. What was closed is open
 * again when it returns.
 */
typedef void look_fn(uint8_t *m);

static void touch(uint8_t *m)
{
	say_touch("before", m, false);
	close_gate();
	say_touch("load", m + 8, false);
	say_touch("store", m + 12, true);
	say_touch("odd", m + 21, false);
	say_touch("page_end", m + PAGE - 4, false);
	say_touch("second_page", m + PAGE, false);
	open_gate();
	say_touch("after", m + 8, false);
	say_touch("second_page", m + PAGE + 4, false);
}

static void untouched(uint8_t *m)
{
	close_gate();
	say_touch("first", m, false);
	open_gate();
	say_touch("second_page", m + PAGE, false);
	say_touch("first", m, false);
}

static void late(uint8_t *m)
{
	close_gate();
	uint8_t *p = bar_map(v.device, bar(), PAGE);

	say_touch("load", p + 4, false);
	say_touch("other", m + 4, false);
	open_gate();
	say_touch("load", p + 4, false);
}

static void twice(uint8_t *m)
{
	uint8_t *p = bar_map(v.device, bar(), PAGE);

	say_touch("first", m, false);
	say_touch("second", p, false);
	close_gate();
	say_touch("first", m, false);
	say_touch("second", p, false);
	munmap(m, 2 * PAGE);
	say_touch("gone", m, false);
	open_gate();
	say_touch("second", p, false);
}

static void again(uint8_t *m)
{
	for (int i = 0; i < 3; i++) {
		close_gate();
		say_touch("closed", m, false);
		open_gate();
		say_touch("open", m, false);
	}
}

static void contents(uint8_t *m)
{
	volatile uint32_t *kept = kept_map(v.device, role);

	*kept = KEPT;
	say_read("before");
	close_gate();
	open_gate();
	say_kept("mapped", role, *kept);
	say_read("after");
}

/* A store that finds the gate closed leaves nothing behind. */
static void lost(uint8_t *m)
{
	volatile uint32_t *kept = kept_map(v.device, role);

	*kept = 0;
	close_gate();
	say_touch("store", kept, true);
	open_gate();
	say_step("zero", *kept == 0 || *kept == UINT32_MAX);
}

/* Calls: some ways wake the function for as long as one takes. */
static void calls(uint8_t *m)
{
	uint32_t val = KEPT;
	uint32_t wide[2] = {0};
	struct iovec iov = {&val, sizeof(val)};
	off_t at = (off_t)kept_at(role);

	keep();
	close_gate();
	say_step("pread", pread(v.device, &val, 4, at));
	say_step("pwrite", pwrite(v.device, &(uint32_t){KEPT}, 4, at));
	say_step("preadv", preadv(v.device, &iov, 1, at));
	say_step("two", pread(v.device, wide, 8, (off_t)bar()));
	say_step("nothing", pread(v.device, wide, 0, at));
	say_step("absent", pread(v.device, wide, 4, (off_t)REGION(5)));
	say_step("config", pread(v.device, wide, 4, (off_t)CONFIG));
	say_step("vga", pread(v.device, wide, 4, (off_t)REGION(8) + 0xa0000));
	open_gate();
	say_step("after", pread(v.device, &val, 4, at));
}

/* Protection comes before the gate. */
static void protection(uint8_t *m)
{
	void *r =
		mmap(NULL, PAGE, PROT_READ, MAP_SHARED, v.device, (off_t)bar());
	void *none =
		mmap(NULL, PAGE, PROT_NONE, MAP_SHARED, v.device, (off_t)bar());

	close_gate();
	say_touch("read_load", r, false);
	say_touch("read_store", r, true);
	say_touch("none_load", none, false);
	open_gate();
	say_touch("read_load", r, false);
	say_touch("read_store", r, true);
	say_touch("none_load", none, false);
}

/* What may be done to a mapping that can't be touched */
static void moves(uint8_t *m)
{
	void *to = nowhere();
	uint8_t *p;

	close_gate();
	p = mremap(m, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	say_step("move", p == to ? 0 : -1);
	say_touch("moved", p, false);
	say_touch("left", m, false);
	say_touch("second_page", m + PAGE, false);
	say_step("grow", mremap(m + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE,
				NULL) == MAP_FAILED
				 ? -1
				 : 0);
	say_step("unmap", munmap(m + PAGE, PAGE));
	open_gate();
	say_touch("moved", p, false);
	say_touch("second_page", m + PAGE, false);
}

static void protects(uint8_t *m)
{
	close_gate();
	say_step("none", mprotect(m, PAGE, PROT_NONE));
	say_touch("load", m, false);
	say_step("read", mprotect(m, PAGE, PROT_READ));
	say_touch("load", m, false);
	say_touch("store", m, true);
	open_gate();
	say_touch("load", m, false);
	say_touch("store", m, true);
	say_step("rw", mprotect(m, PAGE, RW));
	say_touch("load", m, false);
}

static void advises(uint8_t *m)
{
	static const struct {
		const char *name;
		int advice;
	} all[] = {
		{"willneed", MADV_WILLNEED},
		{"dontneed", MADV_DONTNEED},
		{"remove", MADV_REMOVE},
		{"populate_read", MADV_POPULATE_READ},
		{"populate_write", MADV_POPULATE_WRITE},
		{"dontfork", MADV_DONTFORK},
	};

	close_gate();
	for (size_t i = 0; i < COUNT(all); i++)
		say_step(all[i].name, madvise(m, PAGE, all[i].advice));
	say_step("mlock", mlock(m, PAGE));
	say_step("msync", msync(m, PAGE, MS_SYNC));
	void *p = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_POPULATE, v.device,
		       (off_t)bar());

	say_step("populate", p == MAP_FAILED ? -1 : 0);
	say_touch("load", m, false);
	open_gate();
	say_touch("load", m, false);
}

/* Memory for DMA: the page has to be there when it is mapped. */
static long dma(const char *key, void *m)
{
	uint64_t size = PAGE;
	long ret = say_step(key, dma_map(v.container, m, DMA_AT, PAGE, MAP_RW));

	dma_unmap(v.container, DMA_AT, &size, 0);
	return ret;
}

static void maps_dma(uint8_t *m)
{
	uint64_t size = 2 * PAGE;

	dma("open", m);
	need(dma_map(v.container, m, DMA_AT, PAGE, MAP_RW), "MAP_DMA");
	close_gate();
	say_step("second",
		 dma_map(v.container, m, DMA_AT + PAGE, PAGE, MAP_RW));
	say_step("untouched",
		 dma_map(v.container, m + PAGE, DMA_AT + PAGE, PAGE, MAP_RW));
	say_step("exists", dma_map(v.container, m, DMA_AT, PAGE, MAP_RW));
	say_step("unmap", dma_unmap(v.container, DMA_AT, &size, 0));
	say("size=%#" PRIx64, size);
	open_gate();
	dma("open", m);
}

/* Other files and processes */

static void second_file(uint8_t *m)
{
	struct vfio mine = v;

	v.device = (int)need(device_open(v.group, v.function), "second open");
	uint8_t *p = bar_map(v.device, bar(), PAGE);

	close_gate();
	say_touch("of_first", m, false);
	say_touch("of_second", p, false);
	open_gate();
	close(v.device);
	v = mine;
	say_touch("of_first", m, false);
	say_touch("of_second", p, false);
	close_gate();
	say_touch("file_closed", p, false);
	open_gate();
	say_touch("file_closed", p, false);
}

/* The child's side: twice its turn, to touch what it has of the function. */
static pid_t toucher(int ends[2], void (*prepare)(uint8_t **m), uint8_t *m)
{
	turns_new(ends);
	pid_t pid = fork();

	if (pid)
		return pid;
	if (prepare)
		prepare(&m);
	for (int i = 0; i < 2; i++) {
		turn_take(ends[1]);
		say_touch(i ? "child_open" : "child_closed", m, false);
		turn_pass(ends[1]);
	}
	_exit(0);
}

static void turns_of(const int ends[2])
{
	turn_pass(ends[0]);
	turn_take(ends[0]);
}

static void with_child(uint8_t *m, void (*prepare)(uint8_t **m))
{
	int ends[2];

	say_touch("before", m, false);
	pid_t pid = toucher(ends, prepare, m);

	close_gate();
	turns_of(ends);
	open_gate();
	turns_of(ends);
	say_touch("parent", m, false);
	need(waitpid(pid, NULL, 0), "waitpid");
}

static void child(uint8_t *m)
{
	with_child(m, NULL);
}

static void closes_files(uint8_t **m)
{
	vfio_close(&v);
}

/* It has nothing but the mapping. */
static void child_mapping(uint8_t *m)
{
	with_child(m, closes_files);
}

static void maps_anew(uint8_t **m)
{
	munmap(*m, 2 * PAGE);
	*m = bar_map(v.device, bar(), PAGE);
}

static void child_maps(uint8_t *m)
{
	with_child(m, maps_anew);
}

static void child_closes(uint8_t *m)
{
	int ends[2];

	turns_new(ends);
	pid_t pid = fork();

	if (!pid) {
		close_gate();
		turn_pass(ends[1]);
		turn_take(ends[1]);
		open_gate();
		turn_pass(ends[1]);
		_exit(0);
	}
	turn_take(ends[0]);
	say_touch("closed", m, false);
	turns_of(ends);
	say_touch("open", m, false);
	need(waitpid(pid, NULL, 0), "waitpid");
}

static void child_stopped(uint8_t *m)
{
	int ends[2];
	pid_t pid = toucher(ends, NULL, m);

	kill(pid, SIGSTOP);
	need(waitpid(pid, NULL, WUNTRACED), "waitpid");
	close_gate();
	kill(pid, SIGCONT);
	turns_of(ends);
	open_gate();
	turns_of(ends);
}

struct look {
	const char *name;
	look_fn *fn;
	bool always; /* asked of each way, not of the three that differ most */
};

static const struct look looks[] = {
	{"touch", touch, true},
	{"untouched", untouched, false},
	{"late", late, false},
	{"twice", twice, false},
	{"again", again, false},
	{"contents", contents, true},
	{"lost", lost, true},
	{"calls", calls, true},
	{"protection", protection, false},
	{"moves", moves, false},
	{"protects", protects, false},
	{"advises", advises, false},
	{"dma", maps_dma, false},
	{"second_file", second_file, false},
	{"child", child, true},
	{"child_mapping", child_mapping, false},
	{"child_maps", child_maps, false},
	{"child_closes", child_closes, false},
	{"child_stopped", child_stopped, false},
};

static void look(const void *arg)
{
	const struct look *l = arg;

	l->fn(bar_map(v.device, bar(), 2 * PAGE));
}

/* Everything is asked of COMMAND; of the two others, of one role each. */
static bool in_full(void)
{
	static const struct {
		const char *way;
		const char *role;
	} full[] = {{"d3hot", "nvme"}, {"low_power", "ram"}};

	for (size_t i = 0; i < COUNT(full); i++)
		if (!strcmp(way->name, full[i].way) &&
		    !strcmp(role->name, full[i].role))
			return true;
	return way == &ways_all[0];
}

static void each_way(void)
{
	for (size_t w = 0; w < WAYS; w++) {
		way = &ways_all[w];
		if (!way_suits(way, role))
			continue;
		for (size_t i = 0; i < COUNT(looks); i++)
			if (looks[i].always || in_full())
				run(look, &looks[i], "%s.%s.%s", role->name,
				    way->name, looks[i].name);
	}
}

/* What of the function goes on while its memory can't be reached */

typedef long ask_fn(uint32_t arg);

static long ask_info(uint32_t arg)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};

	return ioctl(v.device, VFIO_DEVICE_GET_INFO, &info);
}

static long ask_region(uint32_t index)
{
	struct vfio_region_info info = {.argsz = sizeof(info), .index = index};
	long ret = ioctl(v.device, VFIO_DEVICE_GET_REGION_INFO, &info);

	if (!ret)
		say("flags=%#x size=%#" PRIx64, info.flags,
		    (uint64_t)info.size);
	return ret;
}

static long ask_irq(uint32_t index)
{
	struct vfio_irq_info info = {.argsz = sizeof(info), .index = index};
	long ret = ioctl(v.device, VFIO_DEVICE_GET_IRQ_INFO, &info);

	if (!ret)
		say("flags=%#x count=%u", info.flags, info.count);
	return ret;
}

/* Interrupts are set up and signalled, whatever the memory says. */
static long ask_trigger(uint32_t index)
{
	int event = event_new();

	if (!irq_count(v.device, index))
		skip("no such interrupt");
	say_step("set", irq_trigger(v.device, index, 0, event));
	long ret = set_irqs(v.device, IRQ_NONE | IRQ_TRIGGER, index, 0, 1, NULL,
			    0);

	say("events=%ld", event_now(event));
	irq_off(v.device, index);
	return ret;
}

static long ask_reset(uint32_t arg)
{
	return ioctl(v.device, VFIO_DEVICE_RESET);
}

static long ask_hot_reset_info(uint32_t room)
{
	uint32_t arg[3 + 8 * 2] = {sizeof(arg)};
	const struct vfio_pci_hot_reset_info *info = (const void *)arg;
	long ret = ioctl(v.device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, arg);

	say("count=%u", info->count);
	return ret;
}

static long ask_ioeventfd(uint32_t size)
{
	struct vfio_device_ioeventfd arg = {
		.argsz = sizeof(arg),
		.flags = size,
		.offset = bar() + 8,
		.fd = event_new(),
	};

	say_step("add", ioctl(v.device, VFIO_DEVICE_IOEVENTFD, &arg));
	arg.fd = -1;
	return ioctl(v.device, VFIO_DEVICE_IOEVENTFD, &arg);
}

static long ask_feature(uint32_t id)
{
	return device_feature(v.device,
			      id | VFIO_DEVICE_FEATURE_PROBE |
				      VFIO_DEVICE_FEATURE_SET,
			      NULL, 0);
}

static long ask_config(uint32_t pos)
{
	uint32_t val = 0;
	long ret = pread(v.device, &val, 4, (off_t)CONFIG + pos);

	say("val=%#x", val);
	return ret;
}

static long ask_bar_size(uint32_t pos)
{
	uint32_t old = cfg(v.device, pos, 4);

	cfg_set(v.device, pos, 4, UINT32_MAX);
	say("size=%#x", cfg(v.device, pos, 4));
	cfg_set(v.device, pos, 4, old);
	return cfg(v.device, pos, 4) == old ? 0 : -1;
}

struct ask {
	const char *name;
	ask_fn *fn;
	uint32_t arg;
};

static const struct ask asks[] = {
	{"info", ask_info, 0},
	{"region_bar0", ask_region, 0},
	{"region_bar2", ask_region, 2},
	{"region_rom", ask_region, VFIO_PCI_ROM_REGION_INDEX},
	{"region_config", ask_region, VFIO_PCI_CONFIG_REGION_INDEX},
	{"region_vga", ask_region, VFIO_PCI_VGA_REGION_INDEX},
	{"irq_intx", ask_irq, INTX},
	{"irq_msi", ask_irq, MSI},
	{"irq_msix", ask_irq, MSIX},
	{"intx", ask_trigger, INTX},
	{"msi", ask_trigger, MSI},
	{"msix", ask_trigger, MSIX},
	{"err", ask_irq, ERR},
	{"req", ask_trigger, REQ},
	{"reset", ask_reset, 0},
	{"hot_reset_info", ask_hot_reset_info, 0},
	{"ioeventfd", ask_ioeventfd, 4},
	{"feature_entry", ask_feature, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY},
	{"feature_exit", ask_feature, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT},
	{"config_ids", ask_config, PCI_VENDOR_ID},
	{"config_class", ask_config, PCI_CLASS_REVISION},
	{"bar_size", ask_bar_size, PCI_BASE_ADDRESS_0},
};

/* Closed still, and open when it is opened? */
static void ask(const void *arg)
{
	const struct ask *a = arg;
	uint8_t *m = bar_map(v.device, bar(), PAGE);

	close_gate();
	say_ret(a->fn(a->arg));
	say_touch("closed", m, false);
	say("memory=%d",
	    !!(cfg(v.device, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY));
	open_gate();
	say_touch("open", m, false);
}

static void each_ask(void)
{
	for (size_t w = 0; w < WAYS; w++) {
		way = &ways_all[w];
		for (size_t a = 0; a < COUNT(asks) && in_full(); a++)
			run(ask, &asks[a], "%s.%s.ask.%s", role->name,
			    way->name, asks[a].name);
	}
}

/* I/O ports, the ROM, and the page of the MSI-X table */

struct decode {
	const char *name;
	uint16_t command;
	uint32_t state; /* of power */
};

static const struct decode decodes[] = {
	{"both", PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 0},
	{"io", PCI_COMMAND_IO, 0},
	{"memory", PCI_COMMAND_MEMORY, 0},
	{"none", 0, 0},
	{"both_d3hot", PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 3},
	{"none_d3hot", 0, 3},
};

static void set_decode(const struct decode *d)
{
	cfg_set(v.device, PCI_COMMAND, 2, d->command);
	if (d->state)
		cfg_set(v.device,
			cap_need(v.device, PCI_CAP_ID_PM) + PCI_PM_CTRL, 2,
			d->state);
}

/* One read and one write of each region. */
static void decode(const void *arg)
{
	const struct decode *d = arg;

	set_decode(d);
	for (uint32_t i = 0; i <= VFIO_PCI_VGA_REGION_INDEX; i++) {
		char key[16] = {'r', 'e', 'a', 'd', (char)('0' + i)};
		uint32_t val = 0;

		say_step(key, pread(v.device, &val, 4, (off_t)REGION(i)));
		memcpy(key, "part", 4);
		say_step(key, pread(v.device, &val, 1, (off_t)REGION(i) + 3));
	}
}

static void decode_io(const void *arg)
{
	const struct decode *d = arg;
	uint32_t val = 0x1234;
	off_t at = (off_t)REGION(2);

	set_decode(d);
	say_step("pwrite", pwrite(v.device, &val, 4, at));
	val = 0;
	say_step("pread", pread(v.device, &val, 4, at));
	void *p = mmap(NULL, PAGE, RW, MAP_SHARED, v.device, at);

	say_step("mmap", p == MAP_FAILED ? -1 : 0);
}

static void decode_rom(const void *arg)
{
	const struct decode *d = arg;
	uint16_t val = 0;

	for (int enable = 0; enable <= 1; enable++) {
		set_decode(&decodes[0]);
		cfg_set(v.device, PCI_ROM_ADDRESS, 4,
			(cfg(v.device, PCI_ROM_ADDRESS, 4) &
			 ~(uint32_t)PCI_ROM_ADDRESS_ENABLE) |
				(uint32_t)enable);
		set_decode(d);
		say("bit=%u",
		    cfg(v.device, PCI_ROM_ADDRESS, 4) & PCI_ROM_ADDRESS_ENABLE);
		say_step("pread", pread(v.device, &val, 2, (off_t)ROM_REGION));
		say("val=%#x", val);
	}
}

static void decode_msix(const void *arg)
{
	const struct decode *d = arg;
	unsigned int cap = cap_need(v.device, PCI_CAP_ID_MSIX);
	uint32_t place = cfg(v.device, cap + PCI_MSIX_TABLE, 4);
	uint64_t table = REGION(place & PCI_MSIX_TABLE_BIR) +
			 (place & PCI_MSIX_TABLE_OFFSET);
	uint8_t *m = bar_map(v.device, table & ~(PAGE - 1), PAGE);
	uint32_t val = 0;

	set_decode(d);
	say_touch("load", m + (table & (PAGE - 1)), false);
	say_step("pread", pread(v.device, &val, 4, (off_t)table));
	say("val=%#x", val);
	val = 0;
	say_step("pwrite", pwrite(v.device, &val, 4, (off_t)table));
}

static void each_decode(void)
{
	for (size_t i = 0; i < COUNT(decodes); i++) {
		const struct decode *d = &decodes[i];

		run(decode, d, "%s.decode.%s", role->name, d->name);
		if (strcmp(role->name, "edu") && strcmp(role->name, "ram"))
			run(decode_msix, d, "%s.decode.%s.msix", role->name,
			    d->name);
		if (strcmp(role->name, "nic") != 0)
			continue;
		run(decode_io, d, "%s.decode.%s.ports", role->name, d->name);
		run(decode_rom, d, "%s.decode.%s.rom", role->name, d->name);
	}
}

/* Each case finds the function awake and its gate open. */
static void after(void)
{
	gate_quiet(&v);
}

void area_gate(void)
{
	run_after(after);
	for (size_t i = 0; i < ROLES; i++) {
		role = &roles_all[i];
		fixture_open(&v, role->name, 0, DEVICE, VFIO_TYPE1v2_IOMMU);
		each_way();
		each_ask();
		each_decode();
		fixture_close(&v);
	}
	gate_passes();
	gate_signals();
}
