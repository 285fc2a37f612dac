/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * softvfio-conformance: what VFIO does here. See conformance.h.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "conformance/case.h"
#include "conformance/conformance.h"
#include "conformance/process.h"

/*
 * In the order of the report. iommufd, faults and live update have their own
 * files and rows when softvfio has them.
 */
static const struct area areas[] = {
	{"container", area_container},
	{"group", area_group},
	{"info", area_info},
	{"map", area_map},
	{"unmap", area_unmap},
	{"memory", area_memory},
	{"dirty", area_dirty},
	{"limits", area_limits},
	{"close", area_close},
	{"process", area_process},
	{"device", area_device},
	{"config", area_config},
	{"irq", area_irq},
	{"region", area_region},
	{"mmap", area_mmap},
	{"feature", area_feature},
	{"edu", area_edu},
	{"gate", area_gate},
	{"hotreset", area_hotreset},
	{"ioeventfd", area_ioeventfd},
};

static const struct area *area_find(const char *name)
{
	for (size_t i = 0; i < COUNT(areas); i++)
		if (!strcmp(areas[i].name, name))
			return &areas[i];
	return NULL;
}

static void usage(FILE *out)
{
	fputs("usage: softvfio-conformance [OPTION]...\n"
	      "Report what VFIO does, one line per case.\n\n"
	      "  --area NAME    only this area; may be repeated\n"
	      "  --case PREFIX  only cases whose name begins so\n"
	      "  --list         print the names of the cases, run none\n"
	      "  --help         this\n\nareas:",
	      out);
	for (size_t i = 0; i < COUNT(areas); i++)
		fprintf(out, " %s", areas[i].name);
	fputc('\n', out);
}

static int bad_usage(void)
{
	usage(stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"area", required_argument, NULL, 'a'},
		{"case", required_argument, NULL, 'c'},
		{"list", no_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct selection selection = {0};
	bool wanted[COUNT(areas)] = {0};
	bool all = true;
	int opt;

	if (argc == EXEC_FILES + 2 && !strcmp(argv[1], EXEC_OPTION))
		return process_main(argv + 2);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		const struct area *area;

		switch (opt) {
		case 'a':
			area = area_find(optarg);
			if (!area)
				return bad_usage();
			wanted[area - areas] = true;
			all = false;
			break;
		case 'c':
			selection.prefix = optarg;
			break;
		case 'l':
			selection.list = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			return bad_usage();
		}
	}
	if (optind != argc)
		return bad_usage();
	if (!case_init(&selection)) {
		perror("softvfio-conformance");
		return 1;
	}
	for (size_t i = 0; i < COUNT(areas); i++)
		if (all || wanted[i])
			case_run_area(&areas[i]);
	return 0;
}
