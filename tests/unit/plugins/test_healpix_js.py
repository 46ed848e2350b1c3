"""The page's own HEALPix, run by node, beside healpy."""

import json
import shutil
import subprocess

import numpy as np
import pytest

healpy = pytest.importorskip("healpy", reason="healpy is not installed")
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="there is no node to run the page's script with")
ORDERS = (0, 1, 2, 5, 8, 11, 13)


@pytest.fixture(scope="module")
def answers(root, tmp_path_factory):
    """What a list of calls [function, argument, …] gives."""
    folder = tmp_path_factory.mktemp("js")
    # the browser is told that it is a module, node goes by the name
    shutil.copy(root / "plugins/stellar_pages/static/healpix.js", folder / "healpix.mjs")
    script = (
        "import * as healpix from './healpix.mjs'; import { readFileSync } from 'node:fs';"
        "const calls = JSON.parse(readFileSync(0)); console.log(JSON.stringify(calls.map(([name, ...rest]) => {"
        "try { return healpix[name](...rest); } catch (error) { return String(error); } })));"
    )
    (folder / "ask.mjs").write_text(script)

    def ask(calls):
        done = subprocess.run([NODE, "ask.mjs"], cwd=folder, input=json.dumps(calls), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


def some_pixels(order, rng):
    count = 12 * 4**order
    return np.unique(np.concatenate([[0, count - 1], rng.integers(0, count, 60)]))


def apart_deg(lon, lat, lon2, lat2):
    return np.degrees(healpy.rotator.angdist([lon, lat], [lon2, lat2], lonlat=True)).max()


def test_a_position_falls_into_the_pixel_that_healpy_says(answers):
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(0, 360, 400), np.degrees(np.arcsin(rng.uniform(-1, 1, 400)))
    # near to the poles and the seams of the caps; on an edge itself rounding decides
    lon = np.concatenate([lon, [0.1, 10, 10, 359.99999, 1e-9, 45, 200]])
    lat = np.concatenate([lat, [0.1, 89.999, -89.999, 41.7, -41.9, 41.81, -60]])
    for order in ORDERS:
        found = answers([["positionToPixel", order, a, b] for a, b in zip(lon.tolist(), lat.tolist(), strict=True)])
        np.testing.assert_array_equal(found, healpy.ang2pix(2**order, lon, lat, nest=True, lonlat=True))


@pytest.mark.parametrize("order", ORDERS)
def test_centres_and_edges_are_those_of_healpy(answers, order):
    pixels = some_pixels(order, np.random.default_rng(order))
    for step in (1, 4):
        rings = answers([["boundary", order, int(pixel), step] for pixel in pixels])
        for pixel, ring in zip(pixels, rings, strict=True):
            assert ring[0] == ring[-1]
            x, y, z = healpy.boundaries(2**order, int(pixel), step, nest=True)
            lon, lat = np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
            assert apart_deg(*np.array(ring[:-1]).T, lon, lat) < 1e-7
    centres = np.array(answers([["centre", order, int(pixel)] for pixel in pixels]))
    assert apart_deg(*centres.T, *healpy.pix2ang(2**order, pixels, nest=True, lonlat=True)) < 1e-7


def test_a_pixel_that_does_not_exist_is_refused(answers):
    assert all("no pixel" in one for one in answers([["centre", 2, 192], ["centre", 14, 0], ["boundary", 0, -1, 1]]))
