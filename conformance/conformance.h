/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * softvfio-conformance says what VFIO does, one line per case:
 *
 *	map.flags.03 ret=-1 errno=EINVAL left=0
 *
 * It judges nothing: the same program runs on a real kernel and on softvfio,
 * and the lines are compared. So a line holds nothing that two runs may differ
 * in (addresses, descriptors, process ids, times), and the order of the lines
 * is fixed. A case that can't run says skip="why".
 *
 * A case runs in a process of its own, forked by its area's process, which
 * holds the fixture (container, group, device) that cases share: what a case
 * breaks, leaks or crashes goes with it. Code of an area outside of a case
 * opens and closes fixtures and calls run(), nothing else, since `--list` and
 * a missing device open none.
 */
#ifndef SOFTVFIO_CONFORMANCE_H
#define SOFTVFIO_CONFORMANCE_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "uapi/vfio.h"

#define PAGE	 4096ul
#define RW	 (PROT_READ | PROT_WRITE)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FILL	 0xa5 /* what memory holds before a call */

/** struct area - Cases that belong together; the first word of their lines */
struct area {
	const char *name;
	void (*cases)(void);
};

/* One per file area_*.c, listed in main.c. */
void area_container(void);
void area_group(void);
void area_info(void);
void area_map(void);
void area_unmap(void);
void area_memory(void);
void area_dirty(void);
void area_limits(void);
void area_close(void);
void area_process(void);
void area_device(void);
void area_config(void);
void area_irq(void);
void area_region(void);
void area_mmap(void);
void area_feature(void);
void area_edu(void);
void area_gate(void);
void area_hotreset(void);
void area_ioeventfd(void);

/* case.c: running */

typedef void case_fn(const void *arg);

/**
 * run() - One case: run @fn(@arg) in a process of its own, print its line
 * @fmt: the case's name behind the area's; words of a-z, 0-9, _ between dots
 *
 * Context: the area's process. @fn may do anything, forks included: what it
 * leaves behind is killed. When it is killed itself, the line says so after
 * what was said before.
 */
void run(case_fn *fn, const void *arg, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** run_after() - Called in the area's process after each case; NULL: nothing */
void run_after(void (*fn)(void));

/*
 * A case's own words: say() adds " key=value", the others end the case. All that
 * say.c, machine.c, memory.c, device.c and type1.c ask of a runner: tests/abi/
 * is another.
 */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** need() - @ret; but a failure ends the case, broken="what: ERRNO" */
long need(long ret, const char *what);

/* say.c: results */

/** say_ret() - ret=, and errno= when it is -1; returns @ret */
long say_ret(long ret);
/** say_fd() - ret=fd for a descriptor, as say_ret() otherwise; returns @fd */
int say_fd(int fd);
/** say_step() - key=N or key=ERRNO: one of several calls of a case */
long say_step(const char *key, long ret);
/** say_changes() - wOFFSET=VALUE for each 32-bit word that differs */
void say_changes(const void *before, const void *after, size_t size);
/** say_signal() - key=SIGNAME, or key=none for 0 */
void say_signal(const char *key, int signal);
/** errno_name() - "EINVAL"; a number when it has no name */
const char *errno_name(int err);

/* machine.c: what there is to run on */

/** struct function - A PCI function bound to vfio-pci */
struct function {
	const char *role; /* edu, nvme, ram, nic; "" for another */
	char bdf[16];
	int group;
};

/** function_find() - The @nth function with @role by address, or NULL */
const struct function *function_find(const char *role, unsigned int nth);
/** function_need() - The same; when there is none the case is skipped */
const struct function *function_need(const char *role, unsigned int nth);
/** function_sibling() - Another function of @f's group, or NULL */
const struct function *function_sibling(const struct function *f);
/** function_elsewhere() - A function of another group than @f's, or NULL */
const struct function *function_elsewhere(const struct function *f);

/** struct vfio - Container, group and device; -1 when closed */
struct vfio {
	const struct function *function;
	int container;
	int group;
	int device;
};

/** enum depth - How much of it is opened; a device costs a reset */
enum depth { CONTAINER, GROUP, ATTACHED, IOMMU, DEVICE };

/**
 * fixture_open() - Open what the following cases share
 * @type: VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU, from depth IOMMU on
 *
 * When that fails, or there is no such function, the cases that follow are
 * skipped, up to the next fixture_open() that works or fixture_close().
 */
void fixture_open(struct vfio *v, const char *role, unsigned int nth,
		  enum depth depth, unsigned long type);
void fixture_close(struct vfio *v);
/** vfio_open() - The same inside of a case, which ends when it fails */
void vfio_open(struct vfio *v, const char *role, unsigned int nth,
	       enum depth depth, unsigned long type);
void vfio_close(struct vfio *v);
/** vfio_find() - Nothing is open, and of which function; false: there is none */
bool vfio_find(struct vfio *v, const char *role, unsigned int nth);
/** vfio_open_to() - What failed, with errno; NULL: nothing */
const char *vfio_open_to(struct vfio *v, enum depth depth, unsigned long type);

/* The fd, or -1 with errno. */
int container_open(void);
int group_open(const struct function *f, int flags);
int group_join(int group, int container);
/** say_reopen() - key=0, or why the group of @f can't be opened now */
void say_reopen(const char *key, const struct function *f);
int device_open(int group, const struct function *f);
void close_fd(int *fd);

/* memory.c: memory of the kinds that calls are given */

void *anon(size_t size); /* private, zeroed */
void *nowhere(void);	 /* a page that can't be touched */
void *edge(size_t size); /* @size bytes, FILLed, before such a page */
int memfd(size_t size);

/* files.c: any file */

/** struct foreign_fd - A descriptor that a call does not want; NULL name ends */
struct foreign_fd {
	const char *name;
	int (*make)(void); /* in the case; may be a number that is not open */
};
extern const struct foreign_fd foreign_fds[];

/** run_ioctl() - A case that is one ioctl with a plain argument: NAME.ARG */
void run_ioctl(const int *fd, unsigned long cmd, unsigned long arg,
	       const char *name);
/** sweep_numbers() - All numbers of VFIO and some others, without argument */
void sweep_numbers(const char *name, const int *fd);
/** sweep_file() - stat, read, write, mmap, poll, lseek ... */
void sweep_file(const char *name, const int *fd);

/* sweep.c: the same questions to each ioctl */

/**
 * struct request - An ioctl as it is made well
 * @name: first words of the case names
 * @fd: where; read when the case runs
 * @arg: the argument, which begins with u32 argsz, u32 flags
 * @size: of @arg
 * @min: its mandatory part
 * @then: says more after the call: what state it left; or NULL
 */
struct request {
	const char *name;
	const int *fd;
	unsigned long cmd;
	const void *arg;
	uint32_t size;
	uint32_t min;
	void (*then)(void);
};

/** say_ioctl() - Make the call on a copy; ret, errno and what was written */
long say_ioctl(const struct request *r, const void *arg, size_t size);
/**
 * sweep_plain() - From now on @fn replaces what machines differ in, in the
 * @size first bytes that a call may have written; NULL: nothing does
 */
void sweep_plain(void (*fn)(void *arg, size_t size));
/** sweep_all() - All of the following */
void sweep_all(const struct request *r);
/** sweep_whole() - The same of a call all of whose argument is mandatory */
void sweep_whole(const char *name, const int *fd, unsigned long cmd,
		 const void *arg, uint32_t size, void (*then)(void));
/** sweep_argsz() - argsz short, exact, long, absurd: NAME.argsz.N */
void sweep_argsz(const struct request *r);
/** sweep_flags() - each flag alone and added to the good ones */
void sweep_flags(const struct request *r);
/** sweep_pointers() - NULL, unmapped, read-only, cut off at each word ... */
void sweep_pointers(const struct request *r);

#endif
