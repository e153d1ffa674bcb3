"""bench.flames and bench.sampling: the stacks of a forked process, and their picture"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from bench import flames, sampling

CHILD = """
import os, time
import bench.sampling

def work():
    end = time.process_time() + 0.2
    while time.process_time() < end:
        sum(range(1000))

if os.fork() == 0:
    work()
    os._exit(0)
os.wait()
"""


def test_a_forked_process_is_sampled_and_drawn(tmp_path: Path) -> None:
    env = {**os.environ, sampling.FOLDER: str(tmp_path), "AIRFLOW_CTX_TASK_ID": "classify"}
    subprocess.run([sys.executable, "-c", CHILD], env=env, check=True)
    files = sampling.finished(tmp_path, "__main__.work")
    assert list(files) == ["classify"]
    stacks = flames.inside(flames.read(files["classify"]), "__main__.work")
    (file,) = files["classify"]
    assert 0.1e6 < stacks.total() <= sampling.seconds(file) * 1e6
    picture = ElementTree.fromstring(flames.draw(stacks, "classify <1>"))
    texts = [one.text for one in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "classify <1>"
    assert "__main__.work" in texts


def test_a_function_is_as_wide_as_its_share() -> None:
    stacks = flames.read([])
    stacks[("a.main", "a.step")] = 75
    stacks[("a.main", "b.rest")] = 25
    picture = ElementTree.fromstring(flames.draw(stacks, ""))
    groups = picture.iter("{http://www.w3.org/2000/svg}g")
    titles = [one[0].text for one in groups]
    assert titles == ["all: 100.0%", "a.main: 100.0%", "a.step: 75.0%", "b.rest: 25.0%"]
