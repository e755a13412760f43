#!/usr/bin/env python3
"""Makes the lakes of this folder.

    make.py SIGLAKE SIGLAKE.test STORES DIR [CASE ...]

SIGLAKE is the program of the build in question; SIGLAKE.test is the test binary
of its cmd/siglake (go test -c), which can kill itself before a given operation on
a file; STORES is the program of internal/stores. With KEEP=1 the unpacked lakes
stay beside the archives. A case must be made within one UTC day: do not start
shortly before midnight. Needs zstd and a free port 18417.
"""
import datetime, glob, json, os, shutil, subprocess, sys, tempfile, time, tarfile, urllib.request

PROGRAM, TEST, STORES, OUT = [os.path.abspath(p) for p in sys.argv[1:5]]
ONLY = sys.argv[5:]
URL = "http://127.0.0.1:18417"
BUCKET = "siglake-test"
WORK = tempfile.mkdtemp(prefix="lakes-0-")
PAID = ("run", "resolve", "score", "lookalikes", "visitors")

def companies(n, first=0, extra=""):
    return "account_id,domain\n" + "".join(f"A{i:02d},company-{i:04d}.example\n" for i in range(first, n)) + extra

def letters(i):
    return "abcdefghijklmnopqrstuvwxyz"[i // 26 % 26] + "abcdefghijklmnopqrstuvwxyz"[i % 26]

def people(n):
    out = "key,first name,last name,company,email,linkedin url\n"
    for i in range(n):
        out += [f"p{i},,,,{letters(i)}.sample@harborquill.example,\n", f"p{i},,,,,https://www.linkedin.com/in/sample-{i}\n",
                f"p{i},Ilse,Example-{letters(i)},Tallow & Finch,,\n"][i % 3]
    return out

BAD = "dup,https://www.company-0000.example/about\nnobody,company-nobody-0.example\nbad,jobs.lever.co\n"
LIST = {"list.csv": companies(6, extra=BAD)}
LONGER = {"longer.csv": companies(8, extra=BAD)}
ASK = ["--signals", "news", "--since", "2026-11-01", "--max-results", "3"]
SMALL = ["--batch-size", "2", "--concurrency", "1"]
SEEDS = {"seeds.csv": companies(5)}

def run(*more, list="list.csv", **kw):
    return step("run", "@" + list, "--lake", "LAKE", *ASK, *more, **kw)

def step(*args, **kw):
    return {"args": list(args), **kw}

CASES = {}
def case(name, about, made, then=(), lists=LIST, sim=(), s3=False, state=False, plan=None):
    CASES[name] = dict(name=name, about=about, made=made, then=list(then), lists=dict(lists), sim=list(sim), s3=s3, state=state, plan=plan)

def fault(*kinds):
    return [w for k in kinds for w in ("--fault", k)]

GROWTH = ["--signals", "growth"]
V2, V3 = ["--api", "v2"], ["--api", "v3"]
BOTH = {**LIST, **LONGER}
case("run-v2", "a finished run; then a longer list, and a higher cap", [run(*V2, *GROWTH)],
     [run(*V2, *GROWTH), run(*V2, *GROWTH, list="longer.csv"), run(*V2, "--signals", "risk")], lists=BOTH, plan=[*V2])
case("run-v3", "the same in V3, with filters", [run(*V3, "--signals", "linkedinActivityIntent", "--news-event-types", "Funding Round", "--intent-categories", "Security")],
     [run(*V3, "--signals", "linkedinActivityIntent", "--news-event-types", "Funding Round", "--intent-categories", "Security"), run(*V2, list="longer.csv")], lists=BOTH)
case("people", "contacts in both dialects, by e-mail, profile and name",
     [step("run", "@people.csv", "--lake", "LAKE", "--signals", "contact", "--since", "60d", "--max-results", "2", *V2),
      step("run", "@people.csv", "--lake", "LAKE", "--signals", "contact", "--since", "30d", "--max-results", "2", *V3)],
     [step("run", "@people.csv", "--lake", "LAKE", "--signals", "contact", "--since", "30d", "--max-results", "2", *V3)], lists={"people.csv": people(6)})
case("resolve", "ids of companies", [step("resolve", "@list.csv", "--lake", "LAKE")],
     [step("resolve", "@list.csv", "--lake", "LAKE"), step("resolve", "@longer.csv", "--lake", "LAKE"), run(*V3)], lists=BOTH)
case("score", "scores of companies", [step("score", "@list.csv", "--lake", "LAKE")],
     [step("score", "@list.csv", "--lake", "LAKE"), step("score", "@longer.csv", "--lake", "LAKE")], lists=BOTH)
LIKE = ["lookalikes", "--seeds", "@seeds.csv", "--lake", "LAKE", "--page-size", "10"]
case("lookalikes", "two pages; the session is gone when it goes on", [step(*LIKE, "--limit", "15")],
     [step(*LIKE, "--limit", "15"), step(*LIKE, "--limit", "22")], lists=SEEDS)
case("lookalikes-held", "the answer to the second page is lost", [step(*LIKE, "--limit", "20", exit=21)],
     [step(*LIKE, "--limit", "20"), step("held", "accept-loss", "--lake", "LAKE"), step(*LIKE, "--limit", "20")], lists=SEEDS, sim=fault("drop-after-charge@2"))
SITE = ["visitors", "--domain", "shop.example.com", "--lake", "LAKE", "--page-size", "10"]
case("visitors", "two pages of visits", [step(*SITE, "--limit", "15")], [step(*SITE, "--limit", "15"), step(*SITE, "--limit", "30")], lists={})
case("visitors-held", "the answer to the first page is lost, and released", [step(*SITE, "--limit", "15", exit=21), step("held", "retry", "--lake", "LAKE")],
     [step("resume", "--lake", "LAKE"), step(*SITE, "--limit", "15")], lists={}, sim=fault("drop-after-charge@1"))
case("refresh", "everything bought twice on purpose", [run(*V2), run(*V2, "--refresh")], [run(*V2), run(*V2, "--refresh"), step("resume", "--lake", "LAKE")])
case("budget", "stopped by its budget, in V2", [run(*V2, *SMALL, "--max-credits", "22", exit=20)],
     [step("resume", "@list.csv", "--lake", "LAKE"), step("resume", "@list.csv", "--lake", "LAKE", "--max-credits", "unlimited"), run(*V2)])
case("budget-v3", "stopped by its budget, in V3", [run(*V3, *SMALL, "--max-credits", "22", exit=20)],
     [run(*V3, "--max-credits", "unlimited"), run(*V3)])
case("killed-v2", "killed by SIGKILL with two calls on the wire", [run(*V2, "--batch-size", "1", "--concurrency", "2", kill=1.6)],
     [step("resume", "@list.csv", "--lake", "LAKE"), run(*V2), step("held", "retry", "--lake", "LAKE"), run(*V2)], sim=["--latency", "1s"])
case("killed-v3", "the same in V3", [run(*V3, "--batch-size", "2", "--concurrency", "1", kill=3.6)],
     [run(*V3), step("held", "accept-loss", "--lake", "LAKE"), run(*V3)], sim=["--latency", "1s"])
case("killed-lookalikes", "killed with the second page on the wire", [step(*LIKE, "--limit", "20", kill=1.5)],
     [step("resume", "@seeds.csv", "--lake", "LAKE"), step("held", "retry", "--lake", "LAKE"), step(*LIKE, "--limit", "20")], lists=SEEDS, sim=["--latency", "1s"])
case("prepared", "killed after PREPARE, before any file was visible", [run(*V2, dies="prepared")], [run(*V2), run(*V2, list="longer.csv")], lists=BOTH)
case("prepared-half", "killed with a part of the files visible", [run(*V3, dies="half")], [step("resume", "@list.csv", "--lake", "LAKE"), run(*V3)])
case("held-v2", "an answer lost, in V2", [run(*V2, *SMALL, exit=21)],
     [run(*V2), step("held", "retry", "--lake", "LAKE"), run(*V2), run(*V2)], sim=fault("drop-after-charge@2"), plan=[*V2])
case("held-v3", "a search and an answer lost, in V3", [run(*V3, *SMALL, exit=21)],
     [run(*V3), run(*V3, "--in-doubt", "retry", "--in-doubt-budget", "unlimited"), run(*V3)], sim=fault("drop-after-charge@2", "truncated-close@6"))
case("decided", "three doubts: one released and asked again, one accepted as lost, one released",
     [run(*V2, *SMALL, exit=21), step("held", "retry", "--lake", "LAKE", "000001-1"), run(*V2, *SMALL, exit=21),
      step("held", "accept-loss", "--lake", "LAKE", "000002-1"), step("held", "retry", "--lake", "LAKE")],
     [step("resume", "@list.csv", "--lake", "LAKE"), run(*V2)], sim=fault("drop-after-charge@1", "500-billed@2", "empty-200@3"))
case("probed", "a doubt that the account's usage shows was not charged", [run(*V2, *SMALL, exit=21), run(*V2, *SMALL, "--in-doubt", "probe", exit=(0, 10))],
     [run(*V2)], sim=fault("drop-before@2"))
case("bounded", "a doubt whose most is known from the account's usage", [run(*V2, *SMALL, exit=21), run(*V2, *SMALL, "--in-doubt", "probe", exit=21)],
     [run(*V2), step("held", "accept-loss", "--lake", "LAKE"), run(*V2)], sim=fault("drop-after-charge@2"))
case("unknown", "charges that were not understood", [run(*V2, *SMALL)], [run(*V2), run(*V2, list="longer.csv")], lists=BOTH,
     sim=fault("charge-missing@1", "charge-null@2", "charge-string@3"))
case("refusals", "calls that were refused, repeated and halved", [run(*V2, *SMALL)], [run(*V2)], sim=fault("500-refused@1", "429-burst@3", "400-refused@4", "451-legal@6"))
case("odd", "answers with fields and types that are not known", [run(*V3, "--switch-sim")], [run(*V3)], sim=fault("extra-fields@2", "unknown-type@3"))
case("no-credits", "the account's credits ran out", [run(*V2, *SMALL, exit=20)], [step("resume", "@list.csv", "--lake", "LAKE"), run(*V2)], sim=fault("402-credits@2"))
case("refused-key", "the key was revoked", [run(*V2, *SMALL, exit=30)], [run(*V2)], sim=fault("401-revoked@2"))
case("abandoned", "a killed run that another command left by --new-run", [run(*V2, "--batch-size", "2", "--concurrency", "1", kill=1.6), run(*V2, "--new-run", list="longer.csv", exit=21)],
     [run(*V2, list="longer.csv"), run(*V2)], lists=BOTH, sim=["--latency", "1s"])
case("by-day", "partitions by day", [run(*V2, "--partition-by", "day")], [run(*V2, "--partition-by", "day"), run(*V2, "--partition-by", "day", list="longer.csv")], lists=BOTH)
case("compacted", "three runs, compacted, and one more", [run(*V2, list="list.csv"), run(*V2, "--refresh"), step("compact", "--lake", "LAKE", "--min-files", "2"), run(*V2, list="longer.csv")],
     [step("compact", "--lake", "LAKE", "--min-files", "2"), run(*V2, list="longer.csv")], lists=BOTH)
case("rebuilt", "a lake that siglake rebuild made, with a doubt", [run(*V2, *SMALL, exit=21), step("rebuild", "--lake", "LAKE", "--into", "INTO")],
     [run(*V2), step("held", "retry", "--lake", "LAKE"), run(*V2)], sim=fault("drop-after-charge@2"))
case("simulated", "by the embedded simulator", [step("run", "@list.csv", "--lake", "LAKE", "--simulate", "--seed", "5", *ASK, embedded=True)],
     [step("run", "@list.csv", "--lake", "LAKE", "--simulate", "--seed", "5", *ASK, embedded=True), step("resume", "--lake", "LAKE", embedded=True)])
case("s3", "on S3, journal in the bucket: both dialects, a doubt in each, compacted",
     [run(*V2, *SMALL, exit=21), run(*V3, *SMALL, "--refresh", exit=21), step("compact", "--lake", "LAKE", "--min-files", "2")],
     [run(*V3), step("held", "retry", "--lake", "LAKE"), step("resume", "@list.csv", "--lake", "LAKE"), run(*V2)], s3=True, sim=fault("drop-after-charge@2", "drop-after-charge@7"))
case("s3-state", "on S3, journal in a local directory", [run(*V2, *SMALL, exit=21)],
     [run(*V2), step("held", "retry", "--lake", "LAKE"), run(*V2)], s3=True, state=True, sim=fault("drop-after-charge@2"))
case("s3-killed", "on S3, killed by SIGKILL with a call on the wire", [run(*V2, "--batch-size", "2", "--concurrency", "1", kill=2.6)],
     [step("resume", "@list.csv", "--lake", "LAKE"), run(*V2), step("held", "retry", "--lake", "LAKE"), run(*V2)], s3=True, sim=["--latency", "1s"])
case("s3-products", "on S3: ids, scores, lookalikes and visits",
     [step("resolve", "@list.csv", "--lake", "LAKE"), step("score", "@list.csv", "--lake", "LAKE"), step(*LIKE, "--limit", "15"), step(*SITE, "--limit", "15")],
     [step("resolve", "@list.csv", "--lake", "LAKE"), step("score", "@list.csv", "--lake", "LAKE"), step(*LIKE, "--limit", "15"), step(*SITE, "--limit", "15"), step(*LIKE, "--limit", "22")],
     lists={**LIST, **SEEDS}, s3=True)
CASES["odd"]["made"][0]["args"].remove("--switch-sim")

STARTED = []

class Simulator:
    def __init__(self, flags=()):
        self.p = subprocess.Popen([PROGRAM, "simulate", "--listen", URL[7:], "--seed", "7", "--sim-plan", "unlimited", *flags],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        STARTED.append(self.p)
        assert "listening" in self.p.stdout.readline()
        self.seen = 0
    def new(self):
        with urllib.request.urlopen(URL + "/_simulator/bill?entries=1") as r:
            entries = json.load(r).get("entries") or []
        fresh, self.seen = entries[self.seen:], len(entries)
        asked = [e for e in fresh if e.get("request")]
        return dict(requests=len(fresh), asked=len(asked), entities=sum(e.get("entities", 0) for e in asked),
                    credits=sum(e["credits"] for e in asked), bodies=sorted(e["request"] for e in asked))
    def stop(self):
        self.p.kill(); self.p.wait(); self.p.stdout.close()

class Place:
    """A lake's place: a directory, or a bucket of versitygw."""
    def __init__(self, c):
        self.c, self.dir = c, os.path.join(WORK, c["name"])
        os.makedirs(self.dir)
        for name, text in c["lists"].items():
            with open(os.path.join(self.dir, name), "w") as f: f.write(text)
        self.lake, self.access, self.store = "lake", [], None
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SIGLAKE_"))}
        self.env.update(LUSHA_API_KEY="compat-key-0001", XDG_STATE_HOME=os.path.join(WORK, "xdg"), XDG_CACHE_HOME=os.path.join(WORK, "cache"))
        if c["s3"]:
            self.env.update(AWS_ACCESS_KEY_ID="COMPATKEY00000001", AWS_SECRET_ACCESS_KEY="compat-secret-0001", AWS_CONFIG_FILE="/dev/null",
                            AWS_SHARED_CREDENTIALS_FILE="/dev/null", AWS_EC2_METADATA_DISABLED="true", STORE_BUCKET=BUCKET)
            self.root = os.path.join(self.dir, "store"); os.makedirs(self.root)
            self.store = subprocess.Popen([STORES, "versitygw", self.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.env, text=True)
            STARTED.append(self.store)
            url = self.store.stdout.readline().strip()
            self.lake = f"s3://{BUCKET}/lakes/one"
            self.access = ["--s3-endpoint", url, "--s3-region", "us-east-1", "--s3-path-style", "--scratch", os.path.join(self.dir, "scratch")]
            if c["state"]: self.access += ["--state", os.path.join(self.dir, "state")]
    def path(self):
        return os.path.join(self.root, BUCKET, "lakes", "one") if self.store else os.path.join(self.dir, "lake")
    def command(self, s):
        args = []
        for w in s["args"]:
            if w == "LAKE": w = self.lake
            elif w == "INTO": w = "into"
            elif w.startswith("@"): w = w[1:]
            args.append(w)
        verb = args[0]
        if verb in PAID + ("resume", "plan"):
            more = ["--plan", "unlimited", "--rate", "0", "--timeout", "5s"]
            if not s.get("embedded") and verb != "resume": more = ["--base-url", URL] + more
            args += more
        return args + self.access
    def call(self, s, program=PROGRAM, env=None):
        return subprocess.run([program, *self.command(s)], cwd=self.dir, env={**self.env, **(env or {})}, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    def look(self, *args):
        return self.call({"args": list(args)})
    def stop(self):
        if self.store: self.store.kill(); self.store.wait()

def normal(x, drop):
    if isinstance(x, dict): return {k: normal(v, drop) for k, v in x.items() if k not in drop}
    if isinstance(x, list): return [normal(v, drop) for v in x]
    return x

DROP = ("lake", "next", "run", "finished", "started", "list", "continues", "call", "time", "problem")

def status(p):
    r = p.look("status", "--lake", "LAKE", "--json"); assert r.returncode == 0, r
    return normal(json.loads(r.stdout), DROP)

def held(p):
    r = p.look("held", "list", "--lake", "LAKE", "--json"); assert r.returncode == 0, r
    return normal(json.loads(r.stdout), DROP)

def newest(p):
    try:
        with open(os.path.join(p.path(), "_meta/current.json")) as f: path = json.load(f)["path"]
    except FileNotFoundError: return None
    with open(os.path.join(p.path(), path)) as f: m = json.load(f)
    return dict(generation=m["generation"], outcome=m["run"]["outcome"], by_status=m["accounts"]["by_status"], charged=m["credits"]["charged"],
                returned=m["events"]["returned"], written=m["events"]["written"], products=m.get("products") or {})

def state_of(p):
    r = p.look("verify", "--lake", "LAKE")
    return dict(verify=r.returncode, status=status(p), held=held(p), newest=newest(p))

def kill_at(p, s, n):
    """Runs a step with the program killed before its n-th operation on a file."""
    shutil.rmtree(p.path(), ignore_errors=True)
    return p.call(s, program=TEST, env={"SIGLAKE_TEST_BE_PROGRAM": str(n)}).returncode

def visible(p): return len(glob.glob(p.path() + "/data/**/*.parquet", recursive=True)) + len(glob.glob(p.path() + "/ledger/**/*.parquet", recursive=True))

def die(p, s):
    """Finds the operation before which the run has the state that is wanted."""
    def is_wanted():
        r = p.look("status", "--lake", "LAKE", "--json")
        if r.returncode: return False
        runs = json.loads(r.stdout)["runs"]
        prepared = bool(runs) and "publi" in runs[-1]["state"]
        n = visible(p)
        current = os.path.exists(p.path() + "/_meta/current.json")
        return prepared and not current and (n == 0 if s["dies"] == "prepared" else n >= 2)
    for n in range(20, 400):
        sim = Simulator()
        code = kill_at(p, s, n)
        sim.stop()
        if code == 0 or code == 10: break
        if is_wanted():
            print("   dies before operation", n, "with", visible(p), "files visible")
            s["operation"] = n
            return
    raise SystemExit("never " + s["dies"])

KEEP = os.environ.get("KEEP")

def text_of(d):
    """JSON with a line for everything that is looked at as one."""
    line = lambda v: json.dumps(v, ensure_ascii=False)
    parts = []
    for k, v in d.items():
        if isinstance(v, list) and v and k in ("made", "then"):
            v = "[\n" + ",\n".join("\t\t" + line(x) for x in v) + "\n\t]"
        elif k == "verify":
            v = '{"exit": %d, "text": [\n%s\n\t]}' % (v["exit"], ",\n".join("\t\t" + line(x) for x in v["text"]))
        else:
            v = line(v)
        parts.append(f"\t{line(k)}: {v}")
    return "{\n" + ",\n".join(parts) + "\n}"

def make(c):
    p = Place(c)
    print(c["name"])
    sim = Simulator(c["sim"])
    for s in c["made"]:
        if "dies" in s:
            sim.stop(); die(p, s); sim = Simulator()
        elif "kill" in s:
            q = subprocess.Popen([PROGRAM, *p.command(s)], cwd=p.dir, env=p.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(s["kill"])
            assert q.poll() is None, "it had ended"
            q.kill(); q.wait()
        else:
            r = p.call(s)
            want = s.get("exit", (0, 10))
            if r.returncode not in (want if isinstance(want, tuple) else (want,)):
                print(s, r.returncode, r.stdout, r.stderr); raise SystemExit(c["name"])
            s["exit"] = r.returncode
        if s["args"][0] == "rebuild":
            shutil.rmtree(p.path()); os.rename(os.path.join(p.dir, "into"), p.path())
    sim.stop()
    for s in c["made"]:
        if "kill" in s: s["killed_after_seconds"] = s.pop("kill"); s.pop("exit", None)
        if "dies" in s: s["killed_before_file_operation"] = s.pop("operation"); del s["dies"]; s.pop("exit", None)
    # Keep it.
    out = os.path.join(OUT, c["name"]); shutil.rmtree(out, ignore_errors=True); os.makedirs(out)
    if p.store:
        lock = os.path.join(p.path(), "_state", "lock.json") # a lease that runs out by itself, and names a machine
        if os.path.exists(lock): os.remove(lock)
    shutil.copytree(p.path(), os.path.join(out, "lake"))
    if c["state"]:
        shutil.copytree(os.path.join(p.dir, "state"), os.path.join(out, "state"))
        name = os.path.join(out, "lake", "_state", "journal.json")
        with open(name) as f: text = f.read()
        there = json.loads(text)
        with open(name, "w") as f: f.write(text.replace(there["directory"], "STATE").replace(there["host"], "HOST"))
    for name, text in c["lists"].items():
        with open(os.path.join(out, name), "w") as f: f.write(text)
    now = datetime.datetime.now(datetime.timezone.utc)
    v = p.look("verify", "--lake", "LAKE")
    d = dict(about=c["about"], simulator=c["sim"], s3=c["s3"], made=c["made"], now=(now + datetime.timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ"),
             verify=dict(exit=v.returncode, text=v.stdout.splitlines()), status=status(p), held=held(p), newest=newest(p))
    sim = Simulator()
    if c["plan"] is not None:
        r = p.look("plan", "@list.csv", "--lake", "LAKE", *ASK, *c["plan"], "--json"); assert r.returncode == 0, r
        d["plan"] = dict(args=["plan", "@list.csv", "--lake", "LAKE", *ASK, *c["plan"], "--json"], want=normal(json.loads(r.stdout), ("lake", "list", "time", "windows", "notes", "account_credits_left")))
        sim.new()
    d["then"] = []
    for s in c["then"]:
        time.sleep(0.1)
        r = p.call(s)
        d["then"].append(dict(args=s["args"], exit=r.returncode, bill=sim.new() if not s.get("embedded") else None, after=state_of(p)))
        print("  ", s["args"][0], r.returncode, {k: v for k, v in (d["then"][-1]["bill"] or {}).items() if k != "bodies"}, d["then"][-1]["after"]["newest"]["by_status"] if newest(p) else None,
              "" if d["then"][-1]["after"]["verify"] == 0 else "VERIFY", r.stderr.strip().splitlines()[-1:] if r.returncode >= 30 else "")
    sim.stop(); p.stop()
    plain = lambda i: (setattr(i, "uid", 0), setattr(i, "gid", 0), setattr(i, "uname", ""), setattr(i, "gname", ""), setattr(i, "mtime", 0), setattr(i, "mode", 0o644), i)[-1]
    tar = os.path.join(WORK, c["name"] + ".tar")
    with tarfile.open(tar, "w", format=tarfile.USTAR_FORMAT) as t:
        for part in ("lake", "state"):
            for name in sorted(glob.glob(os.path.join(out, part, "**"), recursive=True, include_hidden=True)):
                if os.path.isfile(name): t.add(name, os.path.relpath(name, out), filter=plain)
    subprocess.run(["zstd", "-q", "-19", "-f", tar, "-o", os.path.join(out, "lake.tar.zst")], check=True)
    if not KEEP:
        for part in ("lake", "state"): shutil.rmtree(os.path.join(out, part), ignore_errors=True)
    with open(os.path.join(out, "case.json"), "w") as f: f.write(text_of(d) + "\n")
    print("   verify", v.returncode, "size", sum(os.path.getsize(os.path.join(a, b)) for a, _, fs in os.walk(out) for b in fs))

for name in ONLY or list(CASES):
    try:
        make(CASES[name])
    finally:
        for p in STARTED: p.kill(); p.wait()
        STARTED.clear()
