/* SPDX-License-Identifier: BSD-3-Clause */
/* What a fuzzer makes up, taken byte by byte: zeroes when there is no more. */
#ifndef SOFTVFIO_TESTS_FUZZ_INPUT_H
#define SOFTVFIO_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at;
	size_t left;
};

/** take() - So many bytes, 8 at most, as a number, little endian */
static inline uint64_t take(struct input *in, size_t bytes)
{
	uint64_t val = 0;

	if (bytes > in->left)
		bytes = in->left;
	memcpy(&val, in->at, bytes);
	in->at += bytes;
	in->left -= bytes;
	return val;
}

#endif
