#!/usr/bin/env python3
"""End-to-end tests: the real binaries, real peers, a real terminal (tmux). Each *_test.py runs in a process of its own.

Usage: run.py BUILD_DIRECTORY [test file...]"""
import concurrent.futures, os, pathlib, re, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).parent
AT_ONCE = 3


def run(path):
    env = {**os.environ, "BUILD": str(pathlib.Path(sys.argv[1]).resolve()), "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile("w+") as out: # a file: what a failed test leaves running holds up no pipe
        result = subprocess.run([sys.executable, "-m", "unittest", path.stem], cwd=HERE, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        out.seek(0)
        return path, result.returncode, out.read()


def main():
    paths = [pathlib.Path(p) for p in sys.argv[2:]] or sorted(HERE.glob("*_test.py"))
    n = bad = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for path, status, text in pool.map(run, paths):
            print("%s: %s" % (path.stem, text.strip().splitlines()[-1] if status == 0 else "\n" + text))
            n += int((re.findall(r"^Ran (\d+)", text, re.M) or [0])[0])
            bad += status != 0
    print("end-to-end: %d tests, %d of %d files failed" % (n, bad, len(paths)))
    return bad > 0 or n == 0


if __name__ == "__main__":
    sys.exit(main())
