/* SPDX-License-Identifier: Apache-2.0 */
/* nothing: ends with STATUS, which tells two builds of it apart in the record of their exit. */
#ifndef STATUS
#define STATUS 0
#endif

int main(void)
{
	return STATUS;
}
