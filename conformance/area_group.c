/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The group file: one opener at a time, joining and leaving a container, and
 * getting a device out of it by name; in each state, and in the wrong order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "conformance/conformance.h"
#include "conformance/type1.h"

static struct vfio v;

static const struct {
	const char *name;
	enum depth depth;
} states[] = {
	{"bare", GROUP},
	{"joined", ATTACHED},
	{"iommu", IOMMU},
	{"device", DEVICE},
};

/* Cases leave and join: back to where the fixture was. */
static void leave(void)
{
	ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER);
}

static void rejoin(void)
{
	group_join(v.group, v.container);
}

static void rejoin_with_iommu(void)
{
	rejoin();
	ioctl(v.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
}

static void open_state(enum depth depth)
{
	static void (*const restore[])(void) = {
		[GROUP] = leave,
		[ATTACHED] = rejoin,
		[IOMMU] = rejoin_with_iommu,
		[DEVICE] = rejoin_with_iommu,
	};

	fixture_open(&v, "edu", 0, depth, VFIO_TYPE1v2_IOMMU);
	run_after(restore[depth]);
}

static void close_state(void)
{
	run_after(NULL);
	fixture_close(&v);
}

/* Opening */

static void node(const void *arg)
{
	struct stat st;
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%d",
		 function_need("edu", 0)->group);
	if (!say_ret(stat(path, &st)))
		say("type=%#o mode=%#o", st.st_mode & S_IFMT,
		    st.st_mode & 07777);
}

static void open_with(const void *arg)
{
	const int *flags = arg;
	struct vfio_group_status st = {.argsz = sizeof(st)};
	int fd = say_fd(group_open(function_need("edu", 0), *flags));

	if (fd < 0)
		return;
	say_step("status", ioctl(fd, VFIO_GROUP_GET_STATUS, &st));
	say("flags=%#x", st.flags);
}

static void open_of(const void *arg)
{
	say_fd(open(arg, O_RDWR | O_CLOEXEC));
}

static const struct {
	const char *name;
	int flags;
} open_flags[] = {
	{"read", O_RDONLY},	{"write", O_WRONLY},
	{"read_write", O_RDWR}, {"nonblock", O_RDWR | O_NONBLOCK},
	{"path", O_PATH},	{"directory", O_RDWR | O_DIRECTORY},
};

static void each_open(const char *state)
{
	for (size_t i = 0; i < COUNT(open_flags); i++)
		run(open_with, &open_flags[i].flags, "%s.open.%s", state,
		    open_flags[i].name);
}

static void open_others(void)
{
	static const char *const paths[] = {
		"/dev/vfio/99999", "/dev/vfio/-1", "/dev/vfio/",
		"/dev/vfio/00",	   "/dev/vfio/x",  "/dev/vfio/vfio/x",
	};

	for (size_t i = 0; i < COUNT(paths); i++)
		run(open_of, paths[i], "open_other.%zu", i);
}

static void open_after_close(const void *arg)
{
	const struct function *f = function_need("edu", 0);
	int first = (int)need(group_open(f, O_RDWR), "open of the group");
	int copy = dup(first);

	say_step("busy", group_open(f, O_RDWR));
	close(first);
	say_step("dup_open", group_open(f, O_RDWR));
	close(copy);
	say_fd(group_open(f, O_RDWR));
}

static void link_of_file(const void *arg)
{
	char path[64];
	char link[64] = {0};
	char node_path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", v.group);
	snprintf(node_path, sizeof(node_path), "/dev/vfio/%d",
		 v.function->group);
	say("is_node=%d", readlink(path, link, sizeof(link) - 1) > 0 &&
				  !strcmp(link, node_path));
}

/* GET_STATUS */

static void status(const char *state, void (*sweep)(const struct request *))
{
	static const struct vfio_group_status arg = {sizeof(arg), 0};
	char name[32];
	const struct request r = {
		.name = name,
		.fd = &v.group,
		.cmd = VFIO_GROUP_GET_STATUS,
		.arg = &arg,
		.size = sizeof(arg),
		.min = sizeof(arg),
	};

	snprintf(name, sizeof(name), "%s.status", state);
	sweep(&r);
}

/* SET_CONTAINER and UNSET_CONTAINER */

static void say_status(void)
{
	struct vfio_group_status st = {.argsz = sizeof(st)};

	if (!ioctl(v.group, VFIO_GROUP_GET_STATUS, &st))
		say("status=%#x", st.flags);
}

static void set_kind(const void *arg)
{
	const struct foreign_fd *kind = arg;
	int fd = kind->make();

	say_ret(group_join(v.group, fd));
	say_status();
}

static void set_own(const void *arg)
{
	const int *fd = arg;

	say_ret(group_join(v.group, *fd));
	say_status();
}

static void set_container(const char *state)
{
	char name[48];
	const struct request r = {
		.name = name,
		.fd = &v.group,
		.cmd = VFIO_GROUP_SET_CONTAINER,
		.arg = &v.container,
		.size = sizeof(int),
		.min = sizeof(int),
		.then = say_status,
	};

	snprintf(name, sizeof(name), "%s.set_container", state);
	sweep_pointers(&r);
	for (const struct foreign_fd *kind = foreign_fds; kind->name; kind++)
		run(set_kind, kind, "%s.fd.%s", name, kind->name);
	run(set_own, &v.container, "%s.fd.own_container", name);
	run(set_own, &v.group, "%s.fd.own_group", name);
	run(set_own, &v.device, "%s.fd.own_device", name);
}

static void unset_twice(const void *arg)
{
	say_step("first", ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER));
	say_status();
	say_step("second", ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER));
}

static void unset_and_set(const void *arg)
{
	int other = (int)need(container_open(), "open of the container");

	say_step("unset", ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER));
	say_step("other", group_join(v.group, other));
	say_step("again", group_join(v.group, other));
	say_step("set_iommu", ioctl(other, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU));
	say_step("unset", ioctl(v.group, VFIO_GROUP_UNSET_CONTAINER));
	say_step("back", group_join(v.group, v.container));
}

static void unset_container(const char *state)
{
	char name[48];

	snprintf(name, sizeof(name), "%s.unset_container", state);
	run_ioctl(&v.group, VFIO_GROUP_UNSET_CONTAINER, 0, name);
	run_ioctl(&v.group, VFIO_GROUP_UNSET_CONTAINER, 1, name);
	run_ioctl(&v.group, VFIO_GROUP_UNSET_CONTAINER, ~0ul, name);
	run(unset_twice, NULL, "%s.twice", name);
	run(unset_and_set, NULL, "%s.and_set", name);
}

/* GET_DEVICE_FD */

#define TOKEN "12345678-1234-1234-1234-123456789abc"

/* "%s" is the function's address. */
static const struct {
	const char *name;
	const char *format;
} device_names[] = {
	{"good", "%s"},
	{"space_after", "%s "},
	{"spaces_after", "%s  "},
	{"tab_after", "%s\t"},
	{"newline_after", "%s\n"},
	{"letter_after", "%sx"},
	{"digit_after", "%s0"},
	{"space_before", " %s"},
	{"empty", ""},
	{"space", " "},
	{"unknown", "ffff:ff:1f.7"},
	{"unknown_option", "%s foo=bar"},
	{"option_without_value", "%s vf_token"},
	{"option_empty", "%s vf_token="},
	{"token", "%s vf_token=" TOKEN},
	{"token_short", "%s vf_token=12345678-1234-1234-1234-123456789ab"},
	{"token_long", "%s vf_token=" TOKEN "d"},
	{"token_not_hex", "%s vf_token=g2345678-1234-1234-1234-123456789abc"},
	{"token_no_dashes", "%s vf_token=12345678123412341234123456789abc1234"},
	{"token_upper", "%s vf_token=12345678-1234-1234-1234-123456789ABC"},
	{"token_twice", "%s vf_token=" TOKEN " vf_token=" TOKEN},
	{"token_and_unknown", "%s vf_token=" TOKEN " foo=bar"},
	{"token_spaces", "%s  vf_token=" TOKEN},
	{"token_tab", "%s\tvf_token=" TOKEN},
	{"token_after_comma", "%s,vf_token=" TOKEN},
	{"token_of_unknown", "ffff:ff:1f.7 vf_token=" TOKEN},
};

static void get_device(const char *name)
{
	int fd = say_fd(ioctl(v.group, VFIO_GROUP_GET_DEVICE_FD, name));

	if (fd >= 0)
		say("accmode=%#x cloexec=%d", fcntl(fd, F_GETFL) & O_ACCMODE,
		    fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* The table's formats hold at most one %s. */
static void device_named(const void *arg)
{
	const char *format = arg;
	const char *at = strstr(format, "%s");
	char name[256];

	if (at)
		snprintf(name, sizeof(name), "%.*s%s%s", (int)(at - format),
			 format, v.function->bdf, at + 2);
	else
		snprintf(name, sizeof(name), "%s", format);
	get_device(name);
}

static void device_cut(const void *arg)
{
	const int *end = arg;
	char name[16];
	int len = (int)strlen(v.function->bdf);

	snprintf(name, sizeof(name), "%.*s", *end < 0 ? len + *end : *end,
		 v.function->bdf);
	get_device(name);
}

static void device_without_domain(const void *arg)
{
	get_device(v.function->bdf + 5);
}

static void device_elsewhere(const void *arg)
{
	const struct function *other = function_elsewhere(v.function);

	if (!other)
		skip("no function in another group");
	get_device(other->bdf);
}

static void device_sibling(const void *arg)
{
	const struct function *other = function_sibling(v.function);

	if (!other)
		skip("no other function in the group");
	get_device(other->bdf);
}

static void device_long_name(const void *arg)
{
	const size_t *len = arg;
	char *name = malloc(*len + 1);

	memset(name, 'a', *len);
	name[*len] = '\0';
	get_device(name);
}

/* The address and then nothing but spaces. */
static void device_padded_name(const void *arg)
{
	const size_t *len = arg;
	char *name = malloc(*len + 1);

	memset(name, ' ', *len);
	memcpy(name, v.function->bdf, strlen(v.function->bdf));
	name[*len] = '\0';
	get_device(name);
}

/* The string's last page, with or without its end. */
static void device_at_edge(const void *arg)
{
	const size_t *missing = arg;
	size_t size = strlen(v.function->bdf) + 1 - *missing;
	char *name = edge(size);

	memcpy(name, v.function->bdf, size);
	get_device(name);
}

static void device_names_of(const char *state)
{
	static const int cuts[] = {1, 4, 7, -1, -2};
	static const size_t lengths[] = {255, 4094, 4095, 4096, 6000};
	static const size_t missing[] = {0, 1, 2};
	char name[48];

	snprintf(name, sizeof(name), "%s.get_device_fd", state);
	for (size_t i = 0; i < COUNT(device_names); i++)
		run(device_named, device_names[i].format, "%s.%s", name,
		    device_names[i].name);
	for (size_t i = 0; i < COUNT(cuts); i++)
		run(device_cut, &cuts[i], "%s.cut.%zu", name, i);
	run(device_without_domain, NULL, "%s.without_domain", name);
	run(device_elsewhere, NULL, "%s.of_another_group", name);
	run(device_sibling, NULL, "%s.sibling", name);
	for (size_t i = 0; i < COUNT(lengths); i++) {
		run(device_long_name, &lengths[i], "%s.long.%zu", name,
		    lengths[i]);
		run(device_padded_name, &lengths[i], "%s.padded.%zu", name,
		    lengths[i]);
	}
	for (size_t i = 0; i < COUNT(missing); i++)
		run(device_at_edge, &missing[i], "%s.edge.%zu", name,
		    missing[i]);
	run_ioctl(&v.group, VFIO_GROUP_GET_DEVICE_FD, 0, name);
	run_ioctl(&v.group, VFIO_GROUP_GET_DEVICE_FD, 0xffff800000000000, name);
}

static void in_state(const char *state)
{
	each_open(state);
	sweep_numbers(state, &v.group);
	sweep_file(state, &v.group);
	status(state, sweep_argsz);
	status(state, sweep_pointers);
	set_container(state);
	unset_container(state);
	device_names_of(state);
}

/* Several groups, several devices; each case opens its own. */

/* Another group's file; the case is skipped when there is none. */
static int open_elsewhere(const struct vfio *own)
{
	const struct function *other = function_elsewhere(own->function);

	if (!other)
		skip("no function in another group");
	return (int)need(group_open(other, O_RDWR), "open of the other group");
}

static void say_extension(const char *key, int container)
{
	say_step(key,
		 ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU));
}

static void second_joins(const void *arg)
{
	const enum depth *depth = arg;
	struct vfio own;

	vfio_open(&own, "edu", 0, *depth, VFIO_TYPE1v2_IOMMU);
	int other = open_elsewhere(&own);

	say_step("join", group_join(other, own.container));
	say_step("again", group_join(other, own.container));
	say_step("set_iommu",
		 ioctl(own.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	say_step("first_leaves", ioctl(own.group, VFIO_GROUP_UNSET_CONTAINER));
	say_step("iommu_left",
		 ioctl(own.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	say_step("second_leaves", ioctl(other, VFIO_GROUP_UNSET_CONTAINER));
	say_step("iommu_gone",
		 ioctl(own.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	say_extension("extension", own.container);
}

static int map_page(int container, const uint8_t *p)
{
	return dma_map(container, p, PAGE, PAGE, VFIO_DMA_MAP_FLAG_READ);
}

/* Mappings are the container's: they stay while a group is left. */
static void mappings_stay(const void *arg)
{
	const unsigned long *type = arg;
	struct vfio own;
	const uint8_t *p = anon(PAGE);

	vfio_open(&own, "edu", 0, IOMMU, *type);
	int other = open_elsewhere(&own);

	say_step("map", map_page(own.container, p));
	say_step("join", group_join(other, own.container));
	say_step("map_again", map_page(own.container, p));
	say_step("leave", ioctl(own.group, VFIO_GROUP_UNSET_CONTAINER));
	say_step("map_again", map_page(own.container, p));
	close(other);
	say_step("map_none", map_page(own.container, p));
	say_step("back", group_join(own.group, own.container));
	say_step("set_iommu", ioctl(own.container, VFIO_SET_IOMMU, *type));
	say_step("map_new", map_page(own.container, p));
}

/* With the last group they go, and the next IOMMU has none of them. */
static void mappings_go(const void *arg)
{
	struct vfio own;
	const uint8_t *p = anon(PAGE);

	vfio_open(&own, "edu", 0, IOMMU, VFIO_TYPE1v2_IOMMU);
	say_step("map", map_page(own.container, p));
	say_step("leave", ioctl(own.group, VFIO_GROUP_UNSET_CONTAINER));
	say_step("map_none", map_page(own.container, p));
	say_step("info", ioctl(own.container, VFIO_IOMMU_GET_INFO, NULL));
	say_step("set_iommu",
		 ioctl(own.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	say_step("back", group_join(own.group, own.container));
	say_step("other_type",
		 ioctl(own.container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU));
	say_step("map_new", map_page(own.container, p));
}

/* Each group is held by its own devices alone. */
static void device_of_second(const void *arg)
{
	struct vfio own;

	vfio_open(&own, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	int other = open_elsewhere(&own);

	say_step("join", group_join(other, own.container));
	int device = device_open(other, function_elsewhere(own.function));

	say_step("device", device < 0 ? -1 : 0);
	close(own.device);
	say_step("first_leaves", ioctl(own.group, VFIO_GROUP_UNSET_CONTAINER));
	say_step("second_leaves", ioctl(other, VFIO_GROUP_UNSET_CONTAINER));
	close(device);
	say_step("second_leaves", ioctl(other, VFIO_GROUP_UNSET_CONTAINER));
}

static void two_containers(const void *arg)
{
	struct vfio own;
	int container = (int)need(container_open(), "open of a container");

	vfio_open(&own, "edu", 0, IOMMU, VFIO_TYPE1v2_IOMMU);
	int other = open_elsewhere(&own);

	say_step("first_to_second", group_join(own.group, container));
	say_step("second", group_join(other, container));
	say_step("set_iommu",
		 ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU));
	close(own.container);
	say_step("second_to_closed", group_join(other, own.container));
}

static void container_closed_first(const void *arg)
{
	const enum depth *depth = arg;
	struct vfio own;

	vfio_open(&own, "edu", 0, *depth, VFIO_TYPE1v2_IOMMU);
	close(own.container);
	say_step("status", ioctl(own.group, VFIO_GROUP_GET_STATUS,
				 &(struct vfio_group_status){.argsz = 8}));
	say_step("device", device_open(own.group, own.function) < 0 ? -1 : 0);
	int container = (int)need(container_open(), "open of a container");

	say_step("join_another", group_join(own.group, container));
	say_step("unset", ioctl(own.group, VFIO_GROUP_UNSET_CONTAINER));
	say_step("join", group_join(own.group, container));
}

static void devices_hold_group(const void *arg)
{
	struct vfio own;

	vfio_open(&own, "edu", 0, DEVICE, VFIO_TYPE1v2_IOMMU);
	int second = device_open(own.group, own.function);

	say_step("second", second < 0 ? -1 : 0);
	say_step("two", ioctl(own.group, VFIO_GROUP_UNSET_CONTAINER));
	close(own.device);
	say_step("one", ioctl(own.group, VFIO_GROUP_UNSET_CONTAINER));
	close(second);
	say_step("none", ioctl(own.group, VFIO_GROUP_UNSET_CONTAINER));
	say_step("device", device_open(own.group, own.function));
}

static unsigned int edu_with_sibling(void)
{
	const struct function *f;

	for (unsigned int nth = 0; (f = function_find("edu", nth)); nth++)
		if (function_sibling(f))
			return nth;
	skip("no edu with another function in its group");
}

static void sibling_holds_group(const void *arg)
{
	unsigned int nth = edu_with_sibling();
	struct vfio own;

	vfio_open(&own, "edu", nth, DEVICE, VFIO_TYPE1v2_IOMMU);
	const struct function *other = function_sibling(own.function);
	int second = device_open(own.group, other);

	say_step("sibling", second < 0 ? -1 : 0);
	close(own.device);
	say_step("unset", ioctl(own.group, VFIO_GROUP_UNSET_CONTAINER));
	close(second);
	say_step("unset", ioctl(own.group, VFIO_GROUP_UNSET_CONTAINER));
}

static void several(void)
{
	static const enum depth depths[] = {GROUP, ATTACHED, IOMMU};
	static const unsigned long versions[] = {VFIO_TYPE1_IOMMU,
						 VFIO_TYPE1v2_IOMMU};

	for (size_t i = 0; i < COUNT(depths); i++)
		run(second_joins, &depths[i], "several.second_joins.%s",
		    states[i].name);
	for (size_t i = 0; i < COUNT(versions); i++)
		run(mappings_stay, &versions[i], "several.mappings_stay.%lu",
		    versions[i]);
	run(mappings_go, NULL, "several.mappings_go");
	run(device_of_second, NULL, "several.device_of_second");
	run(two_containers, NULL, "several.two_containers");
	run(container_closed_first, &depths[1], "several.closed_first.joined");
	run(container_closed_first, &depths[2], "several.closed_first.iommu");
	run(devices_hold_group, NULL, "several.devices_hold_group");
	run(sibling_holds_group, NULL, "several.sibling_holds_group");
}

void area_group(void)
{
	run(node, NULL, "node");
	each_open("closed");
	open_others();
	run(open_after_close, NULL, "open_after_close");
	open_state(GROUP);
	run(link_of_file, NULL, "readlink");
	status("bare", sweep_flags);
	close_state();
	for (size_t i = 0; i < COUNT(states); i++) {
		open_state(states[i].depth);
		in_state(states[i].name);
		close_state();
	}
	several();
}
