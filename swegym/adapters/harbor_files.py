"""Text of the files that a Harbor task is made of; `swegym.adapters.harbor` fills it in."""

TEST = """\
#!/bin/bash
# Writes 1 where every expected test passes, else 0.
mkdir -p /logs/verifier
echo 0 > /logs/verifier/reward.txt
cd {workdir} || exit 0
rm -rf -- {owned}
cp -R /tests/files/. .
PYTHONPATH=/tests{pythonpath} /opt/venv/bin/python -m pytest -p no:cacheprovider -p swegym_outcomes {plugins} \\
  --rootdir=. -c /dev/null {ini} --tb=short -q {files} > /logs/verifier/pytest.txt 2>&1
/opt/venv/bin/python /tests/swegym_outcomes.py
"""
OUTCOMES = '''\
"""As a pytest plugin: notes what each test came to. As a script: compares that with what is expected."""

import json
from pathlib import Path

NOTED = Path("/logs/verifier/outcomes.json")
found = {}


def pytest_runtest_logreport(report):
    good = found.get(report.nodeid, True)
    found[report.nodeid] = good and (report.passed if report.when == "call" else not report.failed)
    if report.skipped:
        found[report.nodeid] = False


def pytest_sessionfinish(session):
    NOTED.write_text(json.dumps(found))


if __name__ == "__main__":
    wanted = json.loads(Path("/tests/expected.json").read_text())
    noted = json.loads(NOTED.read_text()) if NOTED.exists() else {}
    NOTED.parent.joinpath("reward.txt").write_text(str(int(all(noted.get(name) is True for name in wanted))))
'''
SOLVE = "#!/bin/bash\nset -e\ncd {workdir}\ngit apply --whitespace=nowarn /solution/fix.patch\n"
DOCKERFILE = """\
FROM python:{version}
{layers}
RUN rm -f /opt/venv/bin/python* && python3 -m venv --without-pip /opt/venv
{variables}
WORKDIR {workdir}
"""
