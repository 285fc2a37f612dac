/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading and rounding sizes: lib/size.h. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/size.h"

int size_parse(const char *text, uint64_t *ret_bytes)
{
	static const char suffixes[] = "KMGT";
	unsigned int shift = 0;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	int base = text[0] == '0' && tolower(text[1]) == 'x' ? 16 : 10;
	uint64_t n = strtoull(text, &end, base);

	if (errno)
		return -EINVAL;
	if (*end) {
		const char *s = strchr(suffixes, toupper((unsigned char)*end));

		if (!s || end[1])
			return -EINVAL;
		shift = 10 * (unsigned int)(s - suffixes + 1);
	}
	if (shift && n >> (64 - shift))
		return -EINVAL;
	*ret_bytes = n << shift;
	return 0;
}

uint64_t size_pow2(uint64_t size, uint64_t min)
{
	uint64_t n = min;

	while (n < size)
		n <<= 1;
	return n;
}
