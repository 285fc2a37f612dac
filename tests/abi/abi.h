/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of the abi test program share: reporting, a VFIO file triple,
 * and shorthands for the calls.
 *
 * The program knows nothing of softvfio: it uses VFIO as any program does and
 * can be run against a real kernel, so that one set of promises is held by
 * both. One line of TAP is one promise.
 */
#ifndef SOFTVFIO_TESTS_ABI_H
#define SOFTVFIO_TESTS_ABI_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "uapi/vfio.h"

#define PAGE	  4096ul
#define REGION(i) ((uint64_t)(i) << VFIO_PCI_OFFSET_SHIFT)
#define BAR0	  REGION(0)
#define BAR2	  REGION(2)
#define CONFIG	  REGION(VFIO_PCI_CONFIG_REGION_INDEX)
#define MAP_RW	  (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
#define RW	  (PROT_READ | PROT_WRITE)
#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))

/* The value of a call, or -errno: what want() compares. */
#define R(call) call_result((long)(call))

static inline long call_result(long ret)
{
	return ret == -1 ? -errno : ret;
}

/* Reporting: each prints one TAP line and returns whether it was good. */
bool ok(bool good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool want(long got, long expected, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** struct function - One PCI function the program was given */
struct function {
	char role[8]; /* edu, edu2, nvme, ram, root */
	char bdf[16];
	int group;
};

/** function() - NULL when the program was not given one */
const struct function *function(const char *role);
/** have() - like function(), and says in the report what is left out */
bool have(const char *role);

/** struct vfio - Container, group and device; -1 when closed */
struct vfio {
	int container;
	int group;
	int device;
};

/* Opening what the test is not about: failure ends the area. */
void vfio_open(struct vfio *v, const char *role);
void vfio_open_type(struct vfio *v, const char *role, unsigned long type);
void vfio_close(struct vfio *v);
int container_open(void);
int group_open(const char *role);
long group_try(const char *role); /* the fd or -errno */
long device_get(int group, const char *name);
int device_open(int group, const char *role);
long set_container(int group, int container);
void close_fd(int *fd);

/* Memory that is not there, or ends after @n bytes. */
void *nowhere(void);
void *edge(size_t n);
bool filled(const void *p, size_t n, uint8_t byte);
#define FILL 0xa5

/** struct sweep - The argsz rules of one GET-like call */
struct sweep {
	const char *name;
	unsigned long cmd;
	uint32_t min;  /* mandatory part */
	uint32_t full; /* sizeof(the struct) */
	uint32_t index;
};
void argsz_rules(int fd, const struct sweep *s);

/* type1 */
long dma_map(int container, const void *vaddr, uint64_t iova, uint64_t size,
	     uint32_t flags);
long dma_unmap(int container, uint64_t iova, uint64_t size);
/* like dma_unmap(); @ret_size is what the struct says afterwards */
long dma_unmap_flags(int container, uint64_t iova, uint64_t size,
		     uint32_t flags, uint64_t *ret_size);
uint32_t dma_avail(int container);
void *anon(size_t len);	  /* private anonymous, zeroed */
void *shared(size_t len); /* shared anonymous */
int memfd(size_t len);

/* Device access through the fd; ~0 when it fails. */
uint32_t rd32(int device, uint64_t pos);
long wr32(int device, uint64_t pos, uint32_t val);
uint64_t rd64(int device, uint64_t pos);
long wr64(int device, uint64_t pos, uint64_t val);
uint32_t cfg(int device, unsigned int pos, unsigned int size);
long cfg_set(int device, unsigned int pos, unsigned int size, uint32_t val);
unsigned int find_cap(int device, uint8_t id);
void set_command(int device, uint16_t clear, uint16_t set);
uint64_t region_size(int device, uint32_t index);
uint32_t region_flags(int device, uint32_t index);
uint32_t irq_count(int device, uint32_t index);
uint32_t irq_flags(int device, uint32_t index);

/* Interrupts */
long set_irqs(int device, uint32_t flags, uint32_t index, uint32_t start,
	      uint32_t count, const void *data, size_t len);
long irq_eventfd(int device, uint32_t index, uint32_t start, int fd);
/* events on @fd: waits for one for up to a second, then takes them */
long events(int fd);
/* the same, for when there should be none */
long no_events(int fd);
int event_fd(void);

/* A touch that may fault: 0, or the signal with where and why. */
struct fault {
	int signal;
	int code;
	void *addr;
};
struct fault touch(volatile void *addr, bool write);

/* edu */
enum edu_reg {
	EDU_ID = 0x00,
	EDU_LIVENESS = 0x04,
	EDU_RAISE = 0x60,
	EDU_ACK = 0x64,
	EDU_SRC = 0x80,
	EDU_DST = 0x88,
	EDU_COUNT = 0x90,
	EDU_CMD = 0x98,
	EDU_BUF = 0x40000,
};
#define EDU_ID_VALUE 0x010000edu
/* program memory to the device's buffer, and back; false: never finished */
bool edu_fetch(int device, uint64_t iova, uint32_t len);
bool edu_store(int device, uint64_t iova, uint32_t len);

/** run_child() - Exit status of @fn in a child; -signal when it was killed */
int run_child(int (*fn)(void *arg), void *arg);
int wait_child(pid_t pid);

/* The areas */
void test_container(void);
void test_iommu_info(void);
void test_group(void);
void test_map(void);
void test_unmap(void);
void test_memlock(void);
void test_dma(void);
void test_dirty(void);
void test_device(void);
void test_feature(void);
void test_hotreset(void);
void test_ioeventfd(void);
void test_region(void);
void test_mmap(void);
void test_config(void);
void test_irq(void);
void test_intx(void);
void test_msi(void);
void test_close(void);
void test_process(void);

/** exec_main() - What the program does when it was started by itself */
int exec_main(char **argv);
extern const char *self_path;

#endif
