/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a program pays per call: run under softvfio with the BDF of a device.
 * Prints one JSON object; every figure stands beside a floor of the same run,
 * a round trip over a bare seqpacket pair to another process. Medians.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/device.h"
#include "uapi/vfio.h"

#define ROUNDS 4000
#define PAGE   4096ull

static double samples[ROUNDS];

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(size_t n)
{
	qsort(samples, n, sizeof(samples[0]), by_value);
	return samples[n / 2];
}

static double bare_round_trip(void)
{
	char buf[64] = {0};
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) < 0)
		die("socketpair");

	pid_t pid = fork();

	if (pid == 0) {
		close(sv[0]);
		for (;;) {
			ssize_t n = recv(sv[1], buf, sizeof(buf), 0);

			if (n <= 0)
				_exit(0);
			send(sv[1], buf, (size_t)n, 0);
		}
	}
	close(sv[1]);
	for (size_t i = 0; i < ROUNDS; i++) {
		double t = now_us();

		send(sv[0], buf, 32, 0);
		recv(sv[0], buf, sizeof(buf), 0);
		samples[i] = now_us() - t;
	}
	close(sv[0]);
	waitpid(pid, NULL, 0);
	return median(ROUNDS);
}

struct program {
	int container;
	int device;
	uint8_t *page;
};

static void vfio_open(struct program *p, const char *bdf)
{
	p->device = device_open(bdf, &p->container);
	p->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static double ioctl_round_trip(const struct program *p)
{
	for (size_t i = 0; i < ROUNDS; i++) {
		struct vfio_device_info info = {.argsz = sizeof(info)};
		double t = now_us();

		if (ioctl(p->device, VFIO_DEVICE_GET_INFO, &info) < 0)
			die("GET_INFO");
		samples[i] = now_us() - t;
	}
	return median(ROUNDS);
}

static double pread_round_trip(const struct program *p)
{
	for (size_t i = 0; i < ROUNDS; i++) {
		uint32_t id;
		double t = now_us();

		if (pread(p->device, &id, 4, 7ll << 40) != 4)
			die("pread");
		samples[i] = now_us() - t;
	}
	return median(ROUNDS);
}

static void map(const struct program *p, uint64_t iova)
{
	struct vfio_iommu_type1_dma_map m = {
		.argsz = sizeof(m),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)p->page,
		.iova = iova,
		.size = PAGE,
	};

	if (ioctl(p->container, VFIO_IOMMU_MAP_DMA, &m) < 0)
		die("MAP_DMA");
}

static void unmap(const struct program *p, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap u = {
		.argsz = sizeof(u),
		.iova = iova,
		.size = size,
	};

	if (ioctl(p->container, VFIO_IOMMU_UNMAP_DMA, &u) < 0)
		die("UNMAP_DMA");
}

/* MAP and UNMAP of one page in the middle of @present others. */
static void map_costs(const struct program *p, size_t present, double *ret_map,
		      double *ret_unmap)
{
	static double unmaps[ROUNDS];
	const size_t rounds = 1000;
	uint64_t mid = present / 2 * 2 * PAGE + PAGE;

	for (size_t i = 0; i < present; i++)
		map(p, i * 2 * PAGE);
	for (size_t i = 0; i < rounds; i++) {
		double t = now_us();

		map(p, mid);
		samples[i] = now_us() - t;
		t = now_us();
		unmap(p, mid, PAGE);
		unmaps[i] = now_us() - t;
	}
	*ret_map = median(rounds);
	memcpy(samples, unmaps, rounds * sizeof(unmaps[0]));
	*ret_unmap = median(rounds);
	unmap(p, 0, present * 2 * PAGE);
}

int main(int argc, char **argv)
{
	static const size_t present[] = {1, 1000, 60000};
	struct program p;

	if (argc != 2) {
		fprintf(stderr, "usage: bench_ioctl BDF\n");
		return 2;
	}
	double bare = bare_round_trip();

	vfio_open(&p, argv[1]);

	double call = ioctl_round_trip(&p), rd = pread_round_trip(&p);

	printf("{\"bare_seqpacket_us\": %.2f, \"ioctl_us\": %.2f, "
	       "\"ioctl_ratio\": %.2f, \"pread_us\": %.2f, "
	       "\"pread_ratio\": %.2f",
	       bare, call, call / bare, rd, rd / bare);
	for (size_t i = 0; i < 3; i++) {
		double m, u;

		map_costs(&p, present[i], &m, &u);
		printf(", \"map_us_at_%zu\": %.2f, \"map_ratio_at_%zu\": %.2f, "
		       "\"unmap_us_at_%zu\": %.2f, \"unmap_ratio_at_%zu\": "
		       "%.2f",
		       present[i], m, present[i], m / bare, present[i], u,
		       present[i], u / bare);
	}
	printf("}\n");
	return 0;
}
