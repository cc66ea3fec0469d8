"""RetinaFace: parity with facexlib's detector, batches, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from restore_batch.errors import WeightsError
from restore_batch.models.base import NoOptions, Runtime
from restore_batch.models.families import retinaface
from restore_batch.models.families.retinaface import (
    FAMILY,
    decode_boxes,
    decode_landmarks,
    priors,
    select,
)

from support import data
from support.parity import Case, case, scaled

VARIANTS = ("retinaface_mobilenet025", "retinaface_resnet50")


def outputs(reference: Case, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    net = FAMILY.network(state, **reference.kwargs)
    x = reference.inputs()["x"]
    with torch.inference_mode():
        loc, conf, landms = net(x)
    anchors = priors(*x.shape[2:])
    return {
        "loc": loc,
        "conf": conf,
        "landms": landms,
        "priors": anchors,
        "boxes": decode_boxes(loc[0], anchors),
        "landmarks": decode_landmarks(landms[0], anchors),
    }


@pytest.mark.parametrize("name", VARIANTS)
def test_outputs_priors_and_decoding_are_the_official_ones(name: str) -> None:
    reference = case(name)
    for output, value in outputs(reference, reference.state()).items():
        reference.check(output, value)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("retinaface_mobilenet025", "body.stage1.0.0.weight"),
        ("retinaface_mobilenet025", "body.stage3.1.3.weight"),
        ("retinaface_mobilenet025", "fpn.merge1.0.weight"),
        ("retinaface_mobilenet025", "ssh2.conv3X3.0.weight"),
        ("retinaface_mobilenet025", "ClassHead.1.conv1x1.weight"),
        ("retinaface_resnet50", "body.layer3.4.conv2.weight"),
        ("retinaface_resnet50", "BboxHead.0.conv1x1.weight"),
    ],
)
def test_a_changed_weight_does_not_pass_parity(name: str, key: str) -> None:
    reference = case(name)
    found = outputs(reference, scaled(reference.state(), key))
    with pytest.raises(AssertionError):
        for output in ("loc", "conf", "landms"):
            reference.check(output, found[output])


def test_selection_is_the_official_one() -> None:
    reference = case("retinaface_detections")
    given, kwargs = reference.inputs(), reference.kwargs
    size_hw = (kwargs["image_height"], kwargs["image_width"])
    anchors = priors(*size_hw)
    rows = select(
        decode_boxes(given["loc"][0], anchors),
        given["scores"][0],
        decode_landmarks(given["landms"][0], anchors),
        size_hw,
        kwargs["conf_threshold"],
    )
    reference.check("detections", rows)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_variant_is_read_from_the_keys(name: str, prefix: str) -> None:
    reference = case(name)
    state = {prefix + key: value for key, value in reference.state().items()}
    expected = reference.kwargs["network_name"]
    assert FAMILY.recognise(state) == {"network_name": expected}
    net = FAMILY.network(state)
    key = "ssh1.conv3X3.0.weight"
    assert torch.equal(net.state_dict()[key], state[prefix + key])


def test_another_network_is_not_recognised_and_refused_by_name() -> None:
    state = {"conv1.weight": torch.zeros(3)}
    assert FAMILY.recognise(state) is None
    with pytest.raises(WeightsError, match=r"RetinaFace mobile0\.25"):
        FAMILY.network(state)


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mobile0\.25"):
        FAMILY.network(None, network_name="vgg")


def random_detector() -> retinaface.RetinaFaceDetector:
    torch.manual_seed(0)
    return FAMILY.build(
        FAMILY.network(None, **FAMILY.tiny or {}).state_dict(),
        FAMILY.cards[0],
        NoOptions(),
        Runtime(),
    )


def test_a_batch_gives_what_single_pictures_give() -> None:
    detector = random_detector()
    rng = np.random.default_rng(0)
    images = [
        rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in [(64, 96), (50, 70), (64, 96)]
    ]
    together = detector(images, 0.3)
    assert any(together)
    for image, faces in zip(images, together, strict=True):
        (alone,) = detector([image], 0.3)
        assert [f.score for f in alone] == [f.score for f in faces]
        assert [f.box_xyxy for f in alone] == [f.box_xyxy for f in faces]


def test_pictures_of_one_size_share_a_batch() -> None:
    """The path of a GPU, where batches are larger than one picture."""
    detector = random_detector()
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    with torch.inference_mode():
        together = detector._detect(images, 0.3)
    for faces, alone in zip(together, detector(list(images), 0.3), strict=True):
        assert len(faces) == len(alone) > 0
        boxes = np.array([f.box_xyxy for f in faces]), np.array([f.box_xyxy for f in alone])
        assert np.allclose(*boxes, atol=1e-2)


@pytest.mark.parametrize("size", [(1, 1), (8, 300), (33, 31)])
def test_odd_sizes_do_not_break_it(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 128, np.uint8)
    (faces,) = random_detector()([image], 0.0)
    scores = [face.score for face in faces]
    assert scores == sorted(scores, reverse=True)


def test_the_published_weights_find_the_face_of_a_portrait() -> None:
    from PIL import Image

    path = data.weights() / "retinaface_mobilenet025" / "mobilenet0.25_Final.pth"
    state = torch.load(path, map_location="cpu", weights_only=True)
    detector = FAMILY.build(state, FAMILY.cards[0], NoOptions(), Runtime())
    with Image.open(data.photos() / "portraits" / "congress_D000096.jpg") as picture:
        rgb_hwc = np.asarray(picture.convert("RGB"))
    (faces,) = detector([rgb_hwc], detector.traits.default_score)
    assert len(faces) == 1
    left, top, right, bottom = faces[0].box_xyxy
    assert ((faces[0].landmarks_xy > (left, top)) & (faces[0].landmarks_xy < (right, bottom))).all()
