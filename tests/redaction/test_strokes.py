"""xray.redaction.strokes"""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support.text_images import ink, with_text
from xray.redaction.find import strong_clusters
from xray.redaction.geometry import draw_rectangle
from xray.redaction.strokes import Cluster, clusters, hats, marked


def covers(cluster: Cluster, letters: np.ndarray) -> bool:
    """Return whether the cluster's rectangle, with its margin, covers the letters."""
    mask = np.zeros(letters.shape, np.uint8)
    draw_rectangle(mask, cluster.rectangle)
    return bool(mask[letters].all())


def test_hats_show_what_is_narrower_than_a_stroke() -> None:
    grey = np.full((80, 120), 100, np.uint8)
    grey[20:60, 20:26] = 160
    grey[20:60, 50:56] = 70
    grey[20:60, 80:100] = 200
    light, dark = hats(grey)
    assert (light[20:60, 20:26] == 60).all()
    assert (dark[20:60, 50:56] == 30).all()
    assert not light[:, 80:100].any(), "wider than a stroke"
    assert not light[:, 50:56].any()
    assert not dark[:, 20:26].any()


def test_hats_of_the_negative_are_exchanged(lung: Image.Image) -> None:
    grey = np.asarray(with_text(lung, "Ada Ashgrove", (150, 40)))
    light, dark = hats(grey)
    light_of_negative, dark_of_negative = hats(255 - grey)
    assert np.array_equal(light, dark_of_negative)
    assert np.array_equal(dark, light_of_negative)


def test_hats_show_strokes_that_the_border_cuts() -> None:
    grey = np.full((40, 60), 100, np.uint8)
    grey[0:20, 30:34] = 180
    light, _ = hats(grey)
    assert (light[0:20, 30:34] == 80).all()


@pytest.mark.parametrize("fill", [230, 10])
def test_a_line_of_text_is_one_cluster(lung: Image.Image, fill: int) -> None:
    image = with_text(lung, "Ashgrove", (150, 180), fill=fill)
    found = [c for c in strong_clusters(np.asarray(image)) if c.scale == 1]
    cluster = max(found, key=lambda cluster: (cluster.marks, cluster.contrast))
    assert cluster.marks >= len("Ashgrove"), "a letter may be several marks"
    assert covers(cluster, ink(image, lung))
    (_, (width, height), _) = cluster.rectangle
    assert 80 < max(width, height) < 130
    assert 15 < min(width, height) < 35
    assert cluster.contrast > 35
    assert cluster.contrast > cluster.background
    assert 10 < cluster.mark_height < 30


def test_smooth_anatomy_has_no_clusters(lung: Image.Image) -> None:
    assert strong_clusters(np.asarray(lung)) == []
    assert strong_clusters(np.full((300, 400), 90, np.uint8)) == []


@pytest.mark.parametrize("angle", [15, 45, 90, 180])
def test_text_is_found_at_any_angle(angle: float) -> None:
    blank = Image.new("L", (400, 400), 60)
    image = with_text(blank, "Ashgrove 1957", (120, 190)).rotate(angle, fillcolor=60)
    letters = ink(image, blank)
    assert any(covers(cluster, letters) for cluster in strong_clusters(np.asarray(image)))


def test_large_text_is_found_in_a_reduced_picture(lung: Image.Image) -> None:
    large = lung.resize((1000, 800))
    image = with_text(large, "Ashgrove", (150, 300), size=120)
    found = [c for c in strong_clusters(np.asarray(image)) if covers(c, ink(image, large))]
    assert found
    assert all(cluster.scale < 1 for cluster in found)
    assert max(cluster.mark_height for cluster in found) > 60, "in pixels of the full picture"


def test_a_lower_floor_finds_fainter_text() -> None:
    blank = Image.new("L", (400, 300), 80)
    image = with_text(blank, "Ashgrove", (90, 140), fill=95)
    grey, letters = np.asarray(image), ink(image, blank, least=8)
    assert clusters(grey, min_contrast=22, min_ratio=2) == []
    assert any(covers(cluster, letters) for cluster in clusters(grey, min_contrast=6, min_ratio=2))


def test_a_picture_smaller_than_a_stroke_has_no_clusters() -> None:
    assert clusters(np.zeros((5, 200), np.uint8), min_contrast=6, min_ratio=2) == []


def test_what_stands_out_is_marked() -> None:
    hat = np.full((200, 200), 3, np.uint8)
    hat[50:60, 50:60] = 30
    hat[150:160, 150:160] = 10
    mask = marked(hat, 6, 2.2)
    assert mask.dtype == np.uint8
    assert (mask > 0).tolist() == (hat > 3).tolist()
    assert not marked(hat, 6, 9)[150:160, 150:160].any(), "too little beside the background"
    assert not marked(hat, 11, 2.2)[150:160, 150:160].any(), "too faint"


def test_many_marks_are_grouped_in_time() -> None:
    """The cost grows with the area, and not with the square of the number of marks."""
    grainy = np.random.default_rng(1).random((1200, 1200)) < 0.004
    pixels = np.where(cv2.dilate(grainy.astype(np.uint8), np.ones((3, 3))) > 0, 200, 60)
    begun = time.process_time()
    assert len(clusters(pixels.astype(np.uint8), min_contrast=22, min_ratio=3)) > 300
    assert time.process_time() - begun < 5
