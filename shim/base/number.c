/* SPDX-License-Identifier: BSD-3-Clause */
#include "shim/base/number.h"

char *put_number(char *p, unsigned int n)
{
	char digits[10];
	int i = 0;

	do
		digits[i++] = (char)('0' + n % 10);
	while ((n /= 10));
	while (i)
		*p++ = digits[--i];
	*p = '\0';
	return p;
}
