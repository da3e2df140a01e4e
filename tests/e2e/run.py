#!/usr/bin/env python3
"""End-to-end tests: the real binaries, real peers, a real terminal (tmux). Each *_test.py runs in a process of its own.

Usage: run.py BUILD_DIRECTORY [test file...]"""
import concurrent.futures, os, pathlib, re, subprocess, sys

HERE = pathlib.Path(__file__).parent
AT_ONCE = 3


def run(path):
    env = {**os.environ, "BUILD": str(pathlib.Path(sys.argv[1]).resolve()), "PYTHONDONTWRITEBYTECODE": "1"}
    return path, subprocess.run([sys.executable, "-m", "unittest", path.stem], cwd=HERE, env=env, capture_output=True, text=True)


def main():
    paths = [pathlib.Path(p) for p in sys.argv[2:]] or sorted(HERE.glob("*_test.py"))
    n = bad = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for path, result in pool.map(run, paths):
            print("%s: %s" % (path.stem, result.stderr.strip().splitlines()[-1] if result.returncode == 0 else "\n" + result.stderr))
            n += int((re.findall(r"^Ran (\d+)", result.stderr, re.M) or [0])[0])
            bad += result.returncode != 0
    print("end-to-end: %d tests, %d of %d files failed" % (n, bad, len(paths)))
    return bad > 0 or n == 0


if __name__ == "__main__":
    sys.exit(main())
