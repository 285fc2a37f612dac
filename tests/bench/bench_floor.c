/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What moving the same bytes costs without a device: memcpy() of random pieces
 * of 64 MiB, and pread() of them from a file. One JSON object of operations
 * per second, the best of ROUNDS each.
 *
 *   bench_floor FILE      of 64 MiB at least
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BYTES  (64u << 20)
#define ROUNDS 7
#define NS     20000000ull /* of one round */

struct floor {
	int fd;
	const uint8_t *from;
	uint8_t *to;
	uint64_t random;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t random_offset(struct floor *f, size_t len)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return f->random % (BYTES / len) * len;
}

static void by_memcpy(struct floor *f, size_t len)
{
	memcpy(f->to, f->from + random_offset(f, len), len);
	__asm__ volatile("" ::"r"(f->to) : "memory");
}

static void by_pread(struct floor *f, size_t len)
{
	if (pread(f->fd, f->to, len, (off_t)random_offset(f, len)) !=
	    (ssize_t)len) {
		perror("pread");
		exit(1);
	}
}

typedef void (*floor_op)(struct floor *f, size_t len);

static double best_rate(struct floor *f, floor_op op, size_t len)
{
	double best = 0;

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t start = now_ns(), n = 0;

		do {
			for (int k = 0; k < 32; k++)
				op(f, len);
			n += 32;
		} while (now_ns() - start < NS);
		double rate = (double)n * 1e9 / (double)(now_ns() - start);

		best = rate > best ? rate : best;
	}
	return best;
}

static void print_rates(struct floor *f, const char *name, floor_op op)
{
	static const size_t len[] = {512, 4096, 131072};

	printf("\"%s\": {", name);
	for (size_t i = 0; i < 3; i++)
		printf("%s\"%zu\": %.0f", i ? ", " : "", len[i],
		       best_rate(f, op, len[i]));
	printf("}");
}

int main(int argc, char **argv)
{
	struct floor f = {.fd = argc > 1 ? open(argv[1], O_RDONLY) : -1,
			  .to = malloc(131072),
			  .random = 88172645463325252};
	uint8_t *from = malloc(BYTES);

	if (f.fd < 0 || !f.to || !from) {
		fprintf(stderr, "usage: bench_floor FILE\n");
		return 1;
	}
	memset(from, 1, BYTES);
	f.from = from;
	printf("{");
	print_rates(&f, "memcpy", by_memcpy);
	printf(", ");
	print_rates(&f, "pread", by_pread);
	printf("}\n");
	close(f.fd);
	free(f.to);
	free(from);
	return 0;
}
