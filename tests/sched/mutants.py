# SPDX-License-Identifier: BSD-3-Clause
"""Schedules find what they are for: each mutant is the daemon's code with one
thing done wrong, as it could have been written, and a scenario has to fail.

    mutants.py SOURCE-ROOT BUILD-ROOT [NAME...]

The changed file is compiled and stands before the library it comes from.
A mutant whose text is not in the source any more is an error: it goes along.
CC is the compiler, with its arguments; SOFTVFIO_SCHEDULES how many to try at
most.
"""
import glob
import os
import re
import shlex
import subprocess
import sys
import tempfile

MUTANTS = [
    # The gate
    ("copied before it is truncated", "core/pci/bar_zap.c", "gate",
     [("	if (!pipe_get(&b->pipe))\n		return false;",
       "	return false;")]),
    ("only populated pages are held", "core/pci/bar_zap.c", "gate",
     [("return bar->len <= SMALL_LEN;", "return false;"),
      ("i < LOOKS_MAX && populated", "i < 1 && populated")]),
    ("extended before it is filled", "core/pci/bar_zap.c", "gate",
     [("	if (is_all_known(bar))\n",
       "	if (ftruncate(bar->memfd, (off_t)bar->len) < 0)\n		return;\n"
       "	sched_point(\"extended\");\n	if (is_all_known(bar))\n")]),
    ("closed without the lock", "core/pci/device_gate.c", "gate",
     [("		return;\n	}\n"
       "	device_gate_close(dev);\n	rwlock_unwrite(&dev->memory_lock);",
       "		return;\n	}\n	rwlock_unwrite(&dev->memory_lock);\n"
       "	device_gate_close(dev);")]),
    ("opened without the lock", "core/pci/device_gate.c", "gate-reset",
     [("		return;\n	}\n"
       "	device_gate_update(dev);\n	rwlock_unwrite(&dev->memory_lock);",
       "		return;\n	}\n	rwlock_unwrite(&dev->memory_lock);\n"
       "	device_gate_update(dev);")]),
    ("not looked at again once settled", "core/pci/device_power.c", "gate-reset",
     [("	struct sv_dev *dev = opaque;\n\n	device_gate_sync(dev);\n"
       "	if (config_memory_enabled",
       "	struct sv_dev *dev = opaque;\n\n	if (config_memory_enabled")]),
    ("an access is not waited for", "core/pci/device_power.c", "gate",
     [("	if (access_lock(dev))\n		mutex_unlock(&dev->access);\n", "")]),
    # Faults and accesses
    ("a fault does not wait for a reset", "core/pci/region.c", "reset",
     [("	if (!memory_read(dev))\n		return false;\n"
       "	bool open = dev->gate_open;\n\n"
       "	rwlock_unread(&dev->memory_lock);\n",
       "	bool open = dev->gate_open;\n\n")]),
    ("an access asks before it locks: sleep", "core/pci/region.c", "low-power",
     [("t->mapped ? device_gate_open(dev) :", "t->mapped ? true :")]),
    ("an access asks before it locks: close", "core/pci/region.c", "close",
     [("t->mapped ? device_gate_open(dev) :", "t->mapped ? true :")]),
    ("a transfer looks before it locks", "core/pci/region.c", "gate",
     [("	if (!memory_read(dev))\n		return no_answer(t->write, val);\n"
       "	if (t->mapped ? dev->gate_open : bar_decodes(dev, bar))",
       "	bool on = t->mapped ? dev->gate_open : bar_decodes(dev, bar);\n"
       "	rwlock_read(&dev->memory_lock);\n	if (on)")]),
    ("a sleeper is looked at without its lock", "core/pci/region.c", "wake",
     [("|| !model_lock(dev))\n		return;\n	if (dev->wakeup_fd >= 0) {",
       ")\n		return;\n	bool asleep = dev->wakeup_fd >= 0;\n"
       "	mutex_lock(&dev->model);\n	if (asleep) {")]),
    # Reset, close
    ("a reset opens what was closed", "core/pci/device_reset.c", "low-power",
     [("	device_power_on(dev, why);\n	device_gate_update(dev);",
       "	device_power_on(dev, why);\n"
       "	for (unsigned int i = 0; i < SV_NUM_BARS; i++)\n"
       "		bar_open(&dev->bar[i]);\n	dev->gate_open = true;")]),
    ("a closed function is in use", "core/pci/device_reset.c", "close",
     [("dev->in_use = why == SV_RESET_OPEN;", "dev->in_use = true;")]),
    ("a thread is woken without its lock", "core/pci/devthread.c", "close",
     [("	mutex_lock(&t->lock);\n	cond_signal(&t->wake);\n"
       "	mutex_unlock(&t->lock);", "	cond_signal(&t->wake);")]),
    ("a job does not kick the thread", "core/pci/devthread.c", "reset",
     [("	atomic_store(&t->kicked, true);\n	cond_signal(&t->wake);",
       "	cond_signal(&t->wake);")]),
    ("a thread ends before it has said so", "core/pci/devthread.c", "close",
     [("	while (t->alive && waits)\n", "	while (false)\n"),
      ("	thread_join(&t->thread);\n", "")]),
    ("writers do not wait for each other", "core/pci/config_access.c", "writers",
     [("	while (c->writing)\n", "	while (false)\n")]),
    # Tables
    ("a table is taken away without the model", "core/pci/device_attach.c",
     "replace",
     [("	if (!model_lock(dev))\n		return -ETIMEDOUT;\n", ""),
      ("	mutex_unlock(&dev->model);\n	leave(dev, old);",
       "	leave(dev, old);")]),
    ("the model is waited for, not kept", "core/pci/device_attach.c", "replace",
     [("	set_domain(dev, d);\n	mutex_unlock(&dev->model);\n",
       "	mutex_unlock(&dev->model);\n	sched_point(\"let go\");\n"
       "	set_domain(dev, d);\n")]),
    ("a table that is attached is not kept", "core/pci/device_attach.c", "replace",
     [("	domain_get(d);\n	return 0;", "	return 0;")]),
    # Hot reset
    ("a hot reset lets go of what it does not have", "core/vfio/hotreset.c",
     "hot-reset", [("	open_memory(set, n);", "	open_memory(set, set->n);")]),
    ("a hot reset that is refused leaves memory closed", "core/vfio/hotreset.c",
     "hot-reset",
     [("		device_gate_update(set->dev[n]);\n", "")]),
    ("a hot reset that is refused has reset some", "core/vfio/hotreset.c",
     "hot-reset",
     [("i < set->n && r == 0; i++) {", "i < n; i++) {")]),
    ("a hot reset does not ask who is being reset", "core/vfio/hotreset.c",
     "hot-reset",
     [("	size_t n = begin_resets(set);", "	size_t n = set->n;"),
      ("	end_resets(set, n);\n", "")]),
    ("an ioeventfd writes whatever decode is", "core/pci/region.c", "ioeventfd",
     [("done < len && bar_decodes(dev, bar);) {", "done < len;) {")]),
    ("a removed ioeventfd is not waited for", "core/pci/ioeventfd.c", "ioeventfd",
     [("	bool stands = model_lock(dev);\n\n", "	bool stands = true;\n\n"),
      ("	if (stands)\n		mutex_unlock(&dev->model);\n", "")]),
    ("a signal does not kick the device", "core/pci/ioeventfd.c", "ioeventfd",
     [("	TAILQ_INSERT_TAIL(&dev->ioeventfds.pending, e, due);\n	return true;",
       "	TAILQ_INSERT_TAIL(&dev->ioeventfds.pending, e, due);\n"
       "	return false;")]),
    # Unplug
    ("a removal revokes who opened after it", "core/vfio/group.c", "unplug",
     [("			atomic_store(&dev->revoked, true);\n", ""),
      ("		r = group_let_go_locked(g, dev);\n"
       "	mutex_unlock(&g->lock);\n",
       "		r = group_let_go_locked(g, dev);\n"
       "	mutex_unlock(&g->lock);\n"
       "	if (r == 0 && remove && dev->open_count)\n"
       "		atomic_store(&dev->revoked, true);\n")]),
    ("a removal cancels DMA of who opened after it", "core/vfio/group.c", "unplug",
     [("			device_take_away(dev);\n", ""),
      ("		r = group_let_go_locked(g, dev);\n"
       "	mutex_unlock(&g->lock);\n",
       "		r = group_let_go_locked(g, dev);\n"
       "	mutex_unlock(&g->lock);\n"
       "	if (r == 0 && remove)\n"
       "		device_take_away(dev);\n")]),
    ("REQ is raised once", "core/machine/unplug.c", "unplug",
     [("	set_timer(&m->unplug, true);\n", "")]),
    ("what was unplugged answers", "front/vfio/device.c", "unplug",
     [("return device_gone(dev) ?", "return false ?")]),
    ("two change the tree at once", "front/sysfs/show.c", "unplug",
     [("	mutex_lock(&turn);\n", ""), ("	mutex_unlock(&turn);\n", "")]),
    # Files, and who has them
    ("a group is opened before what nobody holds is released",
     "front/vfio/group.c", "hangup",
     [("	alive_settle_group(call->server, g);\n\n	int r = group_open(g);",
       "	int r = group_open(g);")]),
    ("descriptors are handed over without the lock", "front/ipc/server.c",
     "hangup",
     [("		rwlock_read(&s->handover);\n", "		;\n"),
      ("		rwlock_unread(&s->handover);\n", "		;\n")]),
    ("files are released by two at once", "front/ipc/alive.c", "hangup",
     [("mutex_trylock(&lane->release)) {\n", "true) {\n"),
      ("		release_lane(s, lane);\n"
       "		mutex_unlock(&lane->release);\n",
       "		release_lane(s, lane);\n")]),
    ("who asks does not wait for what the dead have asked for",
     "front/ipc/alive.c", "hangup",
     [("	*ret_work |= !gone && !f->settling;\n", "")]),
    ("a mapping does not keep its file", "front/ipc/alive.c", "fault",
     [("(f->ops->busy && f->ops->busy(f))", "false")]),
    ("a channel is found without a reference", "front/ipc/channel.c", "fault",
     [("	if (c)\n		channel_get(c);\n", "")]),
    ("an eventfd is watched for one write", "core/common/watch.c", "unplug",
     [("w->epfd, fd, EPOLLIN | EPOLLET,",
       "w->epfd, fd, EPOLLIN | EPOLLONESHOT,")]),
    ("a removal does not close the gate", "core/machine/unplug.c", "unplug",
     [("		device_gate_update(dev);\n", "")]),
    ("who parks a request does not look again", "front/ipc/stuck.c", "fault",
     [("	atomic_store(&q->any, true);\n	mutex_unlock(&q->lock);\n"
       "	return leave(t, q);",
       "	atomic_store(&q->any, true);\n	mutex_unlock(&q->lock);\n"
       "	atomic_fetch_sub(&q->n_inside, 1);\n	return NULL;")]),
    ("who leaves a device does not look for who is parked", "front/ipc/stuck.c",
     "fault",
     [("	return q ? leave(t, q) : NULL;",
       "	if (q)\n		atomic_fetch_sub(&q->n_inside, 1);\n	return NULL;")]),
    # DMA
    ("a peer's model is waited for", "core/pci/devthread.c", "peers",
     [("begun ? p->end_ns : p->begin_ns);", "0);")]),
    ("who has asked takes back what has begun", "core/pci/devthread.c", "peers",
     [("	t->job_left = t->job_begun;\n	if (t->job_begun)\n"
       "		return -EINPROGRESS;\n", "")]),
    ("a peer is written to with our own lock held", "core/pci/region.c", "peers",
     [("	bool on = bar_decodes(dev, bar);\n\n	if (on && write)",
       "	bool on = true;\n\n	if (on && write)")]),
    ("an unmap does not wait", "core/dma/iopt.c", "unmap",
     [("	if (atomic_load(&a->users) == AREA_REMOVED)\n		return;\n"
       "	mutex_lock", "	if (true)\n		return;\n	mutex_lock"),
      ("		area_free(a);\n	}\n	removed->n = 0",
       "	}\n	removed->n = 0")]),
    ("idle is told without its lock", "core/dma/dma.c", "unmap",
     [("	mutex_lock(&iopt->idle_lock);\n	cond_broadcast(&iopt->idle);\n"
       "	mutex_unlock(&iopt->idle_lock);", "	cond_broadcast(&iopt->idle);")]),
    # tables
    ("what was checked need not hold when it is mapped", "core/vfio/type1.c",
     "limit",
     [("	mutex_lock(&t->lock);\n	r = map_locked(t, map, pages);\n"
       "	mutex_unlock(&t->lock);", "	r = map_locked(t, map, pages);")]),
    ("an attached table takes areas without memory", "core/dma/iopt.c",
     "domain",
     [("	if (!LIST_EMPTY(&iopt->demands) && !pages_list(a->pages))\n"
       "		return -EAGAIN;\n", "")]),
    ("only who attaches first looks memory up", "core/dma/domain.c", "domain",
     [("	r = iopt_resolve(d->iopt);",
       "	r = d->n > 1 ? 0 : iopt_resolve(d->iopt);")]),
    ("a listener goes while it is called", "core/dma/iopt.c", "domain",
     [("	while (l->calls)\n		cond_wait(&iopt->idle,"
       " &iopt->idle_lock);\n", "")]),
    ("a write under way is abandoned", "core/dma/mem_mm.c", "unmap-mm",
     [("	return job->writes && atomic_load(&job->state) != JOB_QUEUED;",
       "	return false;")]),
    ("a job is done without a look for who waits", "core/dma/mem_mm.c", "unmap-mm",
     [("	atomic_fetch_add(&mm->n_waiting, 1);\n"
       "	int r = job_sleep_locked(mm, job, stop, c);\n",
       "	int r = job_sleep_locked(mm, job, stop, c);\n"
       "	atomic_fetch_add(&mm->n_waiting, 1);\n")]),
    # Interrupts
    ("a vector is looked up before it is locked", "core/pci/irq.c", "msi",
     [("	mutex_lock(&irq->lock);\n	enum sv_irq_mode mode",
       "	int early = irq->trigger[vector];\n"
       "	mutex_lock(&irq->lock);\n	enum sv_irq_mode mode"),
      ("vector < have ? irq->trigger[vector] : NO_FD",
       "vector < have ? early : NO_FD")]),
    ("vectors are taken before the mode", "core/pci/irq_msi.c", "msi",
     [("	irq_set_mode(irq, SV_IRQ_NONE);\n	msi_tear_down(irq, 0,\n"
       "		      index == IRQ_MSI ? irq->counts.msi : "
       "irq->counts.msix);\n",
       "	msi_tear_down(irq, 0, irq->counts.msi);\n"
       "	irq_set_mode(irq, SV_IRQ_NONE);\n")]),
    ("INTx is unmasked without a look at the pin", "core/pci/irq_intx.c", "intx",
     [("		irq->masked = irq->level;\n", "		irq->masked = false;\n")]),
]

# Without ranks, which would stop some of them before the scheduler can.
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-DSOFTVFIO_SCHED", "-O1", "-g", "-w"]


def mutate(path, changes):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for old, new in changes:
        if text.count(old) != 1:
            sys.exit(f"{path}: not exactly once:\n{old}")
        text = text.replace(old, new)
    return text


def compile_object(source, text, folder, obj):
    cc = shlex.split(os.environ.get("CC", "cc"))
    subprocess.run(
        cc + FLAGS + [f"-I{source}", f"-I{source}/include", "-x", "c", "-c",
                      "-o", obj, "-"],
        input=text, text=True, check=True, cwd=folder)


def build(source, build_root, folder, path, changes):
    """The schedules with one file of the library changed."""
    cc = shlex.split(os.environ.get("CC", "cc"))
    tests = os.path.join(build_root, "tests/sched/schedules.p")
    mutant = os.path.join(folder, "mutant.o")
    lock = os.path.join(folder, "lock.o")
    program = os.path.join(folder, "schedules")
    compile_object(source, mutate(os.path.join(source, path), changes), folder,
                   mutant)
    compile_object(source, mutate(os.path.join(source, "lib/lock.c"), []),
                   folder, lock)
    subprocess.run(
        cc + ["-o", program, mutant, lock] +
        sorted(os.path.join(tests, o) for o in os.listdir(tests)
               if o.endswith(".o")) +
        ["-Wl,--start-group"] +
        sorted(glob.glob(os.path.join(build_root, "**/lib*-sched.a"),
                         recursive=True)) +
        ["-Wl,--end-group", "-ljansson", "-lpthread"],
        check=True)
    return program


def hunt(program, scenario, folder):
    """The seed that finds it and what it said; None: nobody did."""
    # few at first: what a scenario has to see now and then, it sees in those
    most = os.environ.get("SOFTVFIO_SCHEDULES", "10000")
    env = dict(os.environ, TMPDIR=folder)
    env.pop("SOFTVFIO_SCHEDULES", None)
    for count in ("1000", most):
        run = subprocess.run(
            [program, scenario, count],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=env, check=False)
        if run.returncode:
            break
    else:
        return None
    if run.returncode < 0:
        return "unknown", f"killed by signal {-run.returncode}"
    seed = re.search(r"in schedule (\d+) of", run.stdout)
    says = re.search(r"^# (.*)", run.stdout, re.M)
    if not seed:
        return "none", run.stdout.strip().rsplit("\n# ", 1)[-1]
    return seed.group(1), says.group(1)


def main():
    source, build_root, *names = sys.argv[1:]
    chosen = [m for m in MUTANTS if not names or m[0] in names]
    bad = 0
    print(f"1..{len(chosen)}")
    for i, (name, path, scenario, changes) in enumerate(chosen, 1):
        with tempfile.TemporaryDirectory() as folder:
            found = hunt(build(source, build_root, folder, path, changes),
                         scenario, folder)
        bad += found is None
        print(f"{'ok' if found else 'not ok'} {i} - {name}")
        print(f"# {scenario}: " +
              (f"seed {found[0]}: {found[1]}" if found else "not found"),
              flush=True)
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
