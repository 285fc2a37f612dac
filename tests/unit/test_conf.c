/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the user asked for, and what is said when it cannot be.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/conf.h"

struct fixture {
	struct conf conf;
	char err[256];
	char path[32]; /* a scratch file */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	strcpy(f->path, "/tmp/softvfio-conf-XXXXXX");
	int fd = mkstemp(f->path);

	if (fd < 0) {
		free(f);
		return -1;
	}
	close(fd);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	conf_done(&f->conf);
	free(f);
	return 0;
}

static void add(struct fixture *f, const char *text)
{
	if (conf_add_text(&f->conf, text, f->err))
		fail_msg("%s: %s", text, f->err);
}

static void refused(struct fixture *f, const char *text, const char *reason)
{
	size_t before = f->conf.n_devs;

	assert_int_equal(conf_add_text(&f->conf, text, f->err), -EINVAL);
	assert_int_equal(f->conf.n_devs, before);
	if (!strstr(f->err, reason))
		fail_msg("'%s' does not say '%s'", f->err, reason);
}

static void place(struct fixture *f)
{
	if (conf_place(&f->conf, f->err))
		fail_msg("%s", f->err);
}

static void assert_at(const struct fixture *f, size_t i, const char *bdf,
		      int group)
{
	char text[BDF_TEXT_MAX];

	bdf_format(&f->conf.devs[i].bdf, text);
	assert_string_equal(text, bdf);
	assert_int_equal(f->conf.devs[i].group, group);
}

/* Addresses */

static void bdf_is_parsed_strictly(void **state)
{
	static const char *const bad[] = {
		"",	      "01:00",	       "01:00.8",      "01:20.0",
		"1:00.0",     "01:00.0 ",      "0000:01:00",   "00000:01:00.0",
		"0000:01:0.", "0000:01:00.0x", "0000-01:00.0", "-001:01:00.0",
	};
	struct bdf bdf = {0};
	char text[BDF_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(bdf_parse(bad[i], &bdf), -EINVAL);
	assert_int_equal(bdf_parse("ABCD:eF:1f.7", &bdf), 0);
	bdf_format(&bdf, text);
	assert_string_equal(text, "abcd:ef:1f.7");
	assert_int_equal(bdf_parse("01:00.0", &bdf), 0);
	bdf_format(&bdf, text);
	assert_string_equal(text, "0000:01:00.0");
}

/* Text */

static void every_model_can_be_named(void **state)
{
	struct fixture *f = *state;
	size_t n = 0;

	for (; conf_models()[n]; n++) {
		add(f, conf_models()[n]->name);
		assert_ptr_equal(f->conf.devs[n].ops, conf_models()[n]);
	}
	assert_int_equal(n, 4);
}

static void options_go_where_they_belong(void **state)
{
	struct fixture *f = *state;
	const struct dev_conf *dev = &f->conf.devs[0];

	add(f, "edu,bdf=02:03.4,noflr,dma_mask=0xff,group=9,slot=a,msi=4");
	assert_int_equal(dev->n_options, 1);
	assert_string_equal(dev->options[0].name, "dma_mask");
	assert_string_equal(dev->options[0].value, "0xff");
	assert_int_equal(dev->n_shape, 2);
	assert_string_equal(dev->shape[0].name, "noflr");
	assert_string_equal(dev->shape[0].value, "");
	assert_string_equal(dev->shape[1].value, "4");
	assert_string_equal(dev->slot, "a");
	place(f);
	assert_at(f, 0, "0000:02:03.4", 9);
}

static void doubled_comma_is_part_of_a_value(void **state)
{
	struct fixture *f = *state;

	add(f, "edu,slot=a,,b,,,,c,msi=1");
	assert_string_equal(f->conf.devs[0].slot, "a,b,,c");
	assert_int_equal(f->conf.devs[0].n_shape, 1);
}

static void value_may_contain_equal_signs(void **state)
{
	struct fixture *f = *state;

	add(f, "edu,rom=a=b");
	assert_string_equal(f->conf.devs[0].shape[0].value, "a=b");
}

static void wrong_text_is_explained(void **state)
{
	refused(*state, "edo", "no device model 'edo'; there are: nvme, edu");
	refused(*state, "", "there are: ");
	refused(*state, "edu,mask=1", "no option 'mask'; there are: dma_mask;");
	refused(*state, "edu,mask=1", "bdf, group, slot, id,");
	refused(*state, "edu,mask=1", "rom");
	refused(*state, "edu,size=1M", "no option 'size'");
	refused(*state, "edu,barN=1M", "no option 'barN'");
	refused(*state, "edu,bar6=1M", "no option 'bar6'");
	refused(*state, "edu,", "without a name");
	refused(*state, "edu,=3", "without a name");
	refused(*state, "edu,bdf=x", "bdf=x is not an address such as");
	refused(*state, "edu,group=-1", "group=-1 is not a number from 0");
	refused(*state, "edu,group=4294967296", "is not a number from 0");
	refused(*state, "edu,slot", "slot= is empty");
	refused(*state, "edu,msi=1,msi=2", "'msi' is given twice");
	refused(*state, "edu,bdf=01:00.0,bdf=01:00.0", "'bdf' is given twice");
	refused(*state, "edu,group=1,group=1", "'group' is given twice");
	refused(*state, "edu,slot=a,slot=a", "'slot' is given twice");
}

static void there_is_a_limit_of_devices(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < CONF_DEVICES_MAX; i++)
		add(f, "edu,msi=1");
	assert_int_equal(conf_add_text(&f->conf, "edu", f->err), -ENOSPC);
	assert_string_equal(f->err, "more than 256 devices");
	place(f);
	assert_at(f, 254, "0000:ff:00.0", 255);
	assert_at(f, 255, "0001:01:00.0", 256);
}

/* Places */

static void each_device_gets_a_bus_and_a_group(void **state)
{
	struct fixture *f = *state;

	add(f, "edu");
	add(f, "edu,bdf=02:00.0");
	add(f, "edu,group=2");
	add(f, "edu");
	place(f);
	assert_at(f, 0, "0000:01:00.0", 1);
	assert_at(f, 1, "0000:02:00.0", 3);
	assert_at(f, 2, "0000:03:00.0", 2);
	assert_at(f, 3, "0000:04:00.0", 4);
}

static void slot_shares_device_and_group(void **state)
{
	struct fixture *f = *state;

	add(f, "edu,slot=a");
	add(f, "edu");
	add(f, "edu,slot=a");
	add(f, "edu,slot=b,group=7");
	add(f, "edu,slot=b");
	add(f, "edu,slot=b,group=8");
	place(f);
	assert_at(f, 0, "0000:01:00.0", 1);
	assert_at(f, 1, "0000:02:00.0", 2);
	assert_at(f, 2, "0000:01:00.1", 1);
	assert_at(f, 3, "0000:03:00.0", 7);
	assert_at(f, 4, "0000:03:00.1", 7);
	assert_at(f, 5, "0000:03:00.2", 8);
}

static void slot_follows_a_given_address(void **state)
{
	struct fixture *f = *state;

	add(f, "edu,slot=a");
	add(f, "edu,slot=a,bdf=05:02.0");
	add(f, "edu,bdf=05:02.1");
	place(f);
	assert_at(f, 0, "0000:05:02.2", 1);
	assert_at(f, 1, "0000:05:02.0", 1);
	assert_at(f, 2, "0000:05:02.1", 2);
}

static void two_at_one_address_are_refused(void **state)
{
	struct fixture *f = *state;

	add(f, "edu,bdf=01:00.0");
	add(f, "ram,bdf=0000:01:00.0");
	assert_int_equal(conf_place(&f->conf, f->err), -EEXIST);
	assert_string_equal(f->err, "edu and ram are both at bdf=0000:01:00.0");
}

static void slot_in_two_places_is_refused(void **state)
{
	struct fixture *f = *state;

	add(f, "edu,slot=a,bdf=01:00.0");
	add(f, "edu,slot=a,bdf=01:01.1");
	assert_int_equal(conf_place(&f->conf, f->err), -EINVAL);
	assert_non_null(strstr(f->err, "bdf=0000:01:01.1 is not where"));
}

static void slot_has_eight_functions_at_most(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 9; i++)
		add(f, "edu,slot=a");
	assert_int_equal(conf_place(&f->conf, f->err), -EINVAL);
	assert_string_equal(f->err, "edu: slot=a already has eight functions");
}

/* JSON */

static void write_file(const struct fixture *f, const char *text)
{
	FILE *file = fopen(f->path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void json_gives_the_same_options(void **state)
{
	struct fixture *f = *state;
	const struct dev_conf *dev = &f->conf.devs[1];

	write_file(f, "{\"devices\": [{\"model\": \"ram\"},\n"
		      "{\"model\": \"edu\", \"msi\": 2, \"noflr\": true,\n"
		      " \"bdf\": \"07:00.0\", \"dma_mask\": \"0xff\"}]}");
	assert_int_equal(conf_add_json(&f->conf, f->path, f->err), 0);
	assert_int_equal(f->conf.n_devs, 2);
	assert_string_equal(dev->ops->name, "edu");
	assert_string_equal(dev->shape[0].value, "2");
	assert_string_equal(dev->shape[1].value, "");
	assert_string_equal(dev->options[0].value, "0xff");
	place(f);
	assert_at(f, 0, "0000:01:00.0", 1);
	assert_at(f, 1, "0000:07:00.0", 2);
}

static void json_refused(struct fixture *f, const char *text, const char *at,
			 const char *reason)
{
	char where[64];

	write_file(f, text);
	assert_int_equal(conf_add_json(&f->conf, f->path, f->err), -EINVAL);
	assert_int_equal(f->conf.n_devs, 0);
	snprintf(where, sizeof(where), "%s:%s: ", f->path, at);
	if (strncmp(f->err, where, strlen(where)) || !strstr(f->err, reason))
		fail_msg("'%s' does not say '%s%s'", f->err, where, reason);
}

static void wrong_json_is_explained(void **state)
{
	json_refused(*state, "{\n\"devices\" [", "2", "expected");
	json_refused(*state, "[]", "1", "\"devices\"");
	json_refused(*state, "{\"devices\": []} x", "1", "end of file");
	json_refused(*state, "{\"devices\": {}}", "1", "\"devices\"");
	json_refused(*state, "{\"devices\": [], \"more\": 1}", "1", "devices");
	json_refused(*state, "{\"devices\": [\n\"edu\"]}", "2: device 1",
		     "\"model\"");
	json_refused(*state,
		     "{\"devices\": [{\"model\": \"edu\", \"slot\": \"]},{\"},"
		     "\n\n{\"model\": \"edo\"}]}",
		     "3: device 2", "no device model 'edo'");
	json_refused(*state, "{\"devices\": [\n {\"model\":\"edu\",\"x\":1}]}",
		     "2: device 1", "no option 'x'");
	json_refused(*state, "{\"devices\": [{\"model\":\"edu\",\"id\":[]}]}",
		     "1: device 1", "'id' is neither text");
	json_refused(*state,
		     "{\"devices\": [{\"model\":\"edu\",\"bar1\":null}]}",
		     "1: device 1", "'bar1' is neither text");
	json_refused(*state, "{\"devices\":[{\"model\":1}]}", "1: device 1",
		     "\"model\"");
	json_refused(*state,
		     "{\"devices\":[{\"model\":\"edu\",\"model\":\"edu\"}]}",
		     "1", "duplicate");
}

static void json_file_must_be_there(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	assert_int_equal(conf_add_json(&f->conf, f->path, f->err), -ENOENT);
	assert_non_null(strstr(f->err, "No such file"));
	assert_int_equal(conf_add_json(&f->conf, "/", f->err), -EISDIR);
}

/* Shapes */

static const struct sv_dev_ops sample = {
	.api = SV_API,
	.name = "sample",
	.shape =
		{
			.vendor = 1,
			.device = 2,
			.bar[0] =
				{
					.size = 0x4000,
					.kind = SV_BAR_MEM64,
					.access = SV_ACCESS_TRAP,
				},
			.bar[2] =
				{
					.size = 32,
					.kind = SV_BAR_IO,
					.access = SV_ACCESS_TRAP,
				},
			.msix = 8,
			.msix_bar = 4,
		},
};

/* Lays one option over the sample; the file's name stays in @f. */
static int lay(struct fixture *f, const char *name, const char *value,
	       struct sv_shape *ret_shape)
{
	struct conf_option option = {(char *)name, (char *)value};
	struct dev_conf dev = {.ops = &sample, .shape = &option, .n_shape = 1};

	*ret_shape = sample.shape;
	return conf_shape(&dev, ret_shape, f->err);
}

static struct sv_shape laid(struct fixture *f, const char *name,
			    const char *value)
{
	struct sv_shape shape;

	if (lay(f, name, value, &shape))
		fail_msg("%s=%s: %s", name, value, f->err);
	return shape;
}

static void shape_options_are_applied(void **state)
{
	assert_int_equal(laid(*state, "id", "8086:10C9").vendor, 0x8086);
	assert_int_equal(laid(*state, "id", "8086:10C9").device, 0x10c9);
	assert_int_equal(laid(*state, "subsys", "1af4:1").subsys_vendor,
			 0x1af4);
	assert_int_equal(laid(*state, "subsys", "1af4:1").subsys_device, 1);
	assert_int_equal(laid(*state, "class", "010802").class_code, 0x010802);
	assert_int_equal(laid(*state, "class", "0x020000").class_code,
			 0x020000);
	assert_int_equal(laid(*state, "msi", "32").msi, 32);
	assert_int_equal(laid(*state, "msi", "0").msi, 0);
	assert_true(laid(*state, "nointx", "").no_intx);
	assert_true(laid(*state, "noflr", "").no_flr);
	assert_true(laid(*state, "nopcie", "").no_pcie);
	assert_true(laid(*state, "nopm", "").no_pm);
}

static void bars_can_be_added_and_grown(void **state)
{
	struct sv_bar bar = laid(*state, "bar3", "mem32:3M:prefetch").bar[3];

	assert_true(bar.size == 4 << 20 && bar.prefetch);
	assert_int_equal(bar.kind, SV_BAR_MEM32);
	assert_int_equal(bar.access, SV_ACCESS_DIRECT);
	bar = laid(*state, "bar3", "1").bar[3];
	assert_true(bar.size == 16 && bar.kind == SV_BAR_MEM32);
	bar = laid(*state, "bar5", "io:5").bar[5];
	assert_true(bar.size == 8 && bar.kind == SV_BAR_IO);
	assert_int_equal(bar.access, SV_ACCESS_TRAP);
	bar = laid(*state, "bar0", "1T").bar[0];
	assert_true(bar.size == 1ull << 40 && bar.kind == SV_BAR_MEM64);
	assert_int_equal(bar.access, SV_ACCESS_TRAP);
	bar = laid(*state, "bar0", "mem32:2G").bar[0];
	assert_true(bar.size == 2ull << 30 && bar.kind == SV_BAR_MEM32);
	bar = laid(*state, "bar2", "64").bar[2];
	assert_true(bar.size == 64 && bar.kind == SV_BAR_IO);
}

static void msix_table_gets_a_bar(void **state)
{
	struct sv_shape shape = laid(*state, "msix", "64");

	assert_int_equal(shape.bar[4].kind, SV_BAR_MEM32);
	assert_int_equal(shape.bar[4].size, 4096);
	assert_int_equal(shape.msix_pba, 2048);
	shape = laid(*state, "msix", "2048");
	assert_int_equal(shape.bar[4].size, 65536);
	assert_int_equal(shape.msix_pba, 32768);
	shape = laid(*state, "msix", "0");
	assert_int_equal(shape.bar[4].kind, SV_BAR_NONE);
}

static void msix_of_a_model_without_finds_a_free_bar(void **state)
{
	struct fixture *f = *state;
	const struct dev_conf *dev = &f->conf.devs[0];
	struct sv_shape shape;

	add(f, "ram,msix=2,bar1=1M,msi=8");
	shape = dev->ops->shape;
	assert_int_equal(conf_shape(dev, &shape, f->err), 0);
	assert_int_equal(shape.msix_bar, 4);
	assert_int_equal(shape.bar[4].kind, SV_BAR_MEM32);
	assert_int_equal(shape.msi, 8);
}

static void msix_table_goes_where_the_user_says(void **state)
{
	struct fixture *f = *state;
	const struct dev_conf *dev = &f->conf.devs[0];
	struct sv_shape shape;

	add(f, "plain,msix=5@3,bar3=16K,bar5=4K");
	shape = dev->ops->shape;
	assert_int_equal(conf_shape(dev, &shape, f->err), 0);
	assert_int_equal(shape.msix, 5);
	assert_int_equal(shape.msix_bar, 3);
	assert_int_equal(shape.bar[3].size, 0x4000);
	assert_int_equal(shape.msix_table, 0);
	assert_int_equal(shape.msix_pba, 0x2000);
}

static void rom_has_the_size_of_its_file(void **state)
{
	struct fixture *f = *state;
	struct sv_shape shape;

	assert_int_equal(lay(f, "rom", f->path, &shape), -EINVAL);
	assert_non_null(strstr(f->err, "is not a file of 1 to"));
	assert_int_equal(truncate(f->path, 1), 0);
	assert_int_equal(laid(f, "rom", f->path).rom_size, 2048);
	assert_int_equal(truncate(f->path, 40000), 0);
	assert_int_equal(laid(f, "rom", f->path).rom_size, 65536);
	assert_string_equal(laid(f, "rom", f->path).rom_file, f->path);
	assert_int_equal(truncate(f->path, (16 << 20) + 1), 0);
	assert_int_equal(lay(f, "rom", f->path, &shape), -EINVAL);
	assert_int_equal(lay(f, "rom", "/no/such", &shape), -EINVAL);
	assert_non_null(strstr(f->err, "rom=/no/such: No such file"));
}

static void wrong_shapes_are_explained(void **state)
{
	static const char *const bad[][3] = {
		{"id", "1234", "id=1234 is not VENDOR:DEVICE"},
		{"id", "12345:1", "VENDOR:DEVICE"},
		{"id", ":", "VENDOR:DEVICE"},
		{"id", "1234:-1", "VENDOR:DEVICE"},
		{"subsys", "xyz:1", "subsys=xyz:1 is not VENDOR:DEVICE"},
		{"class", "1000000", "is not 24 bits in hex"},
		{"class", "", "is not 24 bits in hex"},
		{"msi", "3", "msi=3 is not 0, 1, 2, 4, 8"},
		{"msi", "64", "is not 0, 1, 2, 4, 8"},
		{"msix", "2049", "msix=2049 is not 0 to 2048"},
		{"msix", "two", "is not 0 to 2048"},
		{"noflr", "yes", "noflr takes no value"},
		{"nointx", "1", "nointx takes no value"},
		{"nopcie", "1", "nopcie takes no value"},
		{"rom", "", "is not the name of a ROM image"},
		{"bar3", "", "is not [io:|mem32:|mem64:]SIZE"},
		{"bar3", "0", "is not [io:"},
		{"bar3", "-1", "is not [io:"},
		{"bar3", "1.5M", "is not [io:"},
		{"bar3", "1MB", "is not [io:"},
		{"bar3", "16777216T", "is not [io:"},
		{"bar3", "mem16:1M", "is not [io:"},
		{"bar3", "mem32:1M:fast", "is not [io:"},
		{"bar3", "io:16:prefetch", "is not [io:"},
		{"bar3", "io:512", "bar3 of 512 bytes; I/O goes up to 256"},
		{"bar3", "mem32:4G", "goes up to 2147483648"},
		{"bar3", "mem64:2T", "goes up to 1099511627776"},
		{"bar5", "mem64:1M", "bar5 is the last"},
		{"bar1", "1M", "bar1 holds the upper half of the 64-bit bar0"},
		{"bar0", "8K", "smaller than the 16384 bytes the model needs"},
		{"bar0", "io:64", "is not what the model's own BAR can be"},
		{"bar2", "mem32:64", "is not what the model's own BAR can be"},
	};
	struct fixture *f = *state;
	struct sv_shape shape;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(lay(f, bad[i][0], bad[i][1], &shape), -EINVAL);
		assert_memory_equal(&shape, &sample.shape, sizeof(shape));
		if (strncmp(f->err, "sample: ", 8) ||
		    !strstr(f->err, bad[i][2]))
			fail_msg("'%s' does not say '%s'", f->err, bad[i][2]);
	}
}

static void msix_must_fit(void **state)
{
	struct fixture *f = *state;
	struct dev_conf dev = {.ops = &sample};
	struct sv_shape shape = sample.shape;

	shape.msix_bar = 0;
	shape.msix = 64;
	shape.msix_table = 0x3000;
	shape.msix_pba = 0x33f8;
	assert_int_equal(conf_shape(&dev, &shape, f->err), -EINVAL);
	shape.msix_pba = 0x3400;
	assert_int_equal(conf_shape(&dev, &shape, f->err), 0);
	shape.msix_pba = 0x4000;
	assert_int_equal(conf_shape(&dev, &shape, f->err), -EINVAL);
	shape.msix_pba = 0x3004;
	assert_int_equal(conf_shape(&dev, &shape, f->err), -EINVAL);
	shape.msix_bar = 1;
	assert_int_equal(conf_shape(&dev, &shape, f->err), -EINVAL);
	shape.msix_bar = 2;
	assert_int_equal(conf_shape(&dev, &shape, f->err), -EINVAL);
}

static void help_names_everything(void **state)
{
	static const char *const words[] = {
		"nvme:",      "edu:",	       "ram:",	      "dma_mask=MASK",
		"size=BYTES", "every device:", "bdf=ADDRESS", "slot=NAME",
		"barN=",      "msi=N",	       "    nopcie",  "rom=FILE",
	};
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	assert_non_null(out);
	conf_help(out);
	assert_int_equal(fclose(out), 0);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_non_null(strstr(text, words[i]));
	free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bdf_is_parsed_strictly),
		TEST(every_model_can_be_named),
		TEST(options_go_where_they_belong),
		TEST(doubled_comma_is_part_of_a_value),
		TEST(value_may_contain_equal_signs),
		TEST(wrong_text_is_explained),
		TEST(there_is_a_limit_of_devices),
		TEST(each_device_gets_a_bus_and_a_group),
		TEST(slot_shares_device_and_group),
		TEST(slot_follows_a_given_address),
		TEST(two_at_one_address_are_refused),
		TEST(slot_in_two_places_is_refused),
		TEST(slot_has_eight_functions_at_most),
		TEST(json_gives_the_same_options),
		TEST(wrong_json_is_explained),
		TEST(json_file_must_be_there),
		TEST(shape_options_are_applied),
		TEST(bars_can_be_added_and_grown),
		TEST(msix_table_gets_a_bar),
		TEST(msix_of_a_model_without_finds_a_free_bar),
		TEST(msix_table_goes_where_the_user_says),
		TEST(rom_has_the_size_of_its_file),
		TEST(wrong_shapes_are_explained),
		TEST(msix_must_fit),
		TEST(help_names_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
