/* SPDX-License-Identifier: BSD-3-Clause */
/* What a terminal may be shown: lib/plain.h. */
#include <stddef.h>
#include <stdint.h>

#include "lib/plain.h"

/* How UTF-8 begins, and from where on its second byte is none of a control
 * character's nor of a longer form than needed. */
static const struct {
	uint8_t first;
	uint8_t last;
	uint8_t second;
	uint8_t len;
} forms[] = {
	{' ', '~', 0, 1},      {0xc2, 0xc2, 0xa0, 2}, {0xc3, 0xdf, 0x80, 2},
	{0xe0, 0xe0, 0xa0, 3}, {0xe1, 0xef, 0x80, 3}, {0xf0, 0xf0, 0x90, 4},
	{0xf1, 0xf4, 0x80, 4},
};

/* Bytes of the character at @s; 0: none to be shown. */
static size_t shown_len(const uint8_t *s)
{
	size_t i = 0, n = 1;

	while (i < sizeof(forms) / sizeof(forms[0]) && s[0] > forms[i].last)
		i++;
	if (i == sizeof(forms) / sizeof(forms[0]) || s[0] < forms[i].first)
		return 0;
	if (forms[i].len > 1 && s[1] < forms[i].second)
		return 0;
	while (n < forms[i].len && (s[n] & 0xc0) == 0x80)
		n++;
	return n == forms[i].len ? n : 0;
}

char *plain_text(char *text)
{
	for (char *p = text; *p;) {
		size_t len = shown_len((const uint8_t *)p);

		if (!len)
			*p = '?';
		p += len ? len : 1;
	}
	return text;
}
