"""A signed result says what it was made from and how, and is otherwise what it would be."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_batch.jobs.units import Photo
from restore_batch.stages.credentials.claim import ENHANCED, GENERATED
from restore_batch.stages.media import Chunk, FaceRecord, Frame, PhotoMeta
from restore_batch.stages.photo import colour
from restore_batch.stages.photo.encode import Encode
from restore_batch.stages.photo.provenance import Provenance
from restore_batch.stages.photo.read import read

from support import beside
from support.photo_files import LIMIT, photo

signers = pytest.importorskip("support.signers")

FACE = FaceRecord((10, 10, 40, 40), ((0, 0),) * 5, 0.9)
GFPGAN = Provenance(
    "restore-batch 1.0", faces="gfpgan-1.4", background="photo-2", is_generative=True
)
COMPACT = replace(GFPGAN, faces="compact-1", is_generative=False)
PULSE = replace(GFPGAN, faces="pulse", imagined_by="pulse")
META = PhotoMeta(
    "jpeg", xmp=beside.packet(), dpi=(300.0, 300.0), icc=colour.srgb_profile(), size=(60, 40)
)
SIGNED = (".jpg", ".png", ".tif", ".webp", ".avif")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> signers.Files:
    return signers.signer(tmp_path_factory.mktemp("signer"))


@pytest.fixture
def original(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    Image.fromarray(photo()).save(tmp_path / "in" / "glass plate.bmp")
    return tmp_path / "in" / "glass plate.bmp"


def encoded(
    path: Path,
    source: Path,
    files: signers.Files | None,
    frame: Frame | None = None,
    made_by: Provenance = GFPGAN,
    meta: PhotoMeta = META,
    faces: tuple[FaceRecord, ...] = (FACE,),
    warnings: tuple[str, ...] = (),
) -> Chunk:
    unit = Photo(id="u", source=str(source), output=path.name, staging_dir=str(path.parent))
    frame = frame or Frame(photo())
    chunk = Chunk(unit, pasted=(frame,), meta=meta, records=(faces,), warnings=warnings)
    (done,) = Encode(provenance=made_by, sign_with=files)([chunk])
    assert isinstance(done, Chunk), done
    assert done.artifact is not None
    staged = Path(done.artifact.staged_path)
    assert hashlib.sha256(staged.read_bytes()).hexdigest() == done.artifact.sha256
    assert staged.stat().st_size == done.artifact.size_bytes
    assert list(staged.parent.glob("*.signed")) == []
    staged.rename(path)
    return done


@pytest.mark.parametrize("suffix", SIGNED)
def test_credentials_say_the_original_and_what_was_done_in_every_container(
    suffix: str, tmp_path: Path, original: Path, files: signers.Files
) -> None:
    path = tmp_path / f"a{suffix}"
    encoded(path, original, files)
    assert signers.read_back(path)[0] == "Valid"
    state, manifest = signers.read_back(path, trusting=files.issuer)
    assert state == "Trusted"
    assert manifest["signature_info"]["issuer"] == signers.ARCHIVE
    (made_from,) = manifest["ingredients"]
    assert (made_from["title"], made_from["relationship"]) == ("glass plate.bmp", "parentOf")
    assert hashlib.sha256(original.read_bytes()).hexdigest() in made_from["description"]
    assert "thumbnail" not in made_from
    opened, edited = signers.actions(manifest)
    assert (opened["action"], edited["action"]) == ("c2pa.opened", "c2pa.edited")
    assert edited["description"] == "faces: gfpgan-1.4; background: photo-2"
    assert edited["digitalSourceType"] == GENERATED
    assert edited["softwareAgent"]["name"] == "restore-batch"


@pytest.mark.parametrize("suffix", SIGNED)
@pytest.mark.parametrize("kind", ["colour", "grey", "transparent", "16 bits"])
def test_a_signature_changes_no_pixel_and_nothing_else_that_is_said(
    suffix: str, kind: str, tmp_path: Path, original: Path, files: signers.Files
) -> None:
    rgb = photo()
    frame = {
        "colour": Frame(rgb),
        "grey": Frame(np.repeat(rgb[..., :1], 3, axis=2), grey=True),
        "transparent": Frame(rgb, alpha_hw=rgb[..., 0].copy()),
        "16 bits": Frame(rgb.astype(np.uint16) * 257),
    }[kind]
    meta = replace(META, bits=16) if kind == "16 bits" else META
    plain, signed = tmp_path / f"plain{suffix}", tmp_path / f"signed{suffix}"
    encoded(plain, original, None, frame, meta=meta)
    encoded(signed, original, files, frame, meta=meta)
    before, meta_before, _ = read(str(plain), LIMIT)
    after, meta_after, _ = read(str(signed), LIMIT)
    assert np.array_equal(before.rgb_hwc, after.rgb_hwc)
    assert before.rgb_hwc.dtype == after.rgb_hwc.dtype
    assert before.grey == after.grey
    if before.alpha_hw is not None:
        assert np.array_equal(before.alpha_hw, after.alpha_hw)
    for name in ("bits", "exif", "xmp", "iptc", "icc", "dpi", "text", "size"):
        assert getattr(meta_before, name) == getattr(meta_after, name), name
    if suffix != ".tif" and kind == "colour":  # where the tags of a TIFF file stand says nothing
        said = [
            {
                key: value
                for key, value in beside.exiftool(path).items()
                if not key.startswith(("System:", "JUMBF:", "CBOR:", "Jpeg2000:", "File:"))
                and key not in ("SourceFile", "QuickTime:MediaDataOffset")
            }
            for path in (plain, signed)
        ]
        assert said[0] == said[1]


@pytest.mark.parametrize("suffix", SIGNED)
def test_a_picture_that_was_altered_afterwards_is_found_out(
    suffix: str, tmp_path: Path, original: Path, files: signers.Files
) -> None:
    path = tmp_path / f"a{suffix}"
    encoded(path, original, files, Frame(np.random.default_rng(0).integers(
        0, 256, (64, 64, 3), np.uint8)))  # fmt: skip
    content = bytearray(path.read_bytes())
    # The picture is the largest thing in the file, and lies on one side of the credentials.
    at = content.find(b"jumb")
    middle = at // 2 if at > len(content) // 2 else (at + 8000 + len(content)) // 2
    content[middle] ^= 1
    path.write_bytes(content)
    assert signers.read_back(path)[0] == "Invalid"


@pytest.mark.parametrize(
    ("made_by", "faces", "action", "source_type"),
    [
        (GFPGAN, (FACE,), "c2pa.edited", GENERATED),
        (PULSE, (FACE,), "c2pa.edited", GENERATED),
        (COMPACT, (FACE,), "c2pa.edited", ENHANCED),
        (GFPGAN, (replace(FACE, restored=False),), "c2pa.edited", ENHANCED),
        (GFPGAN, (), "c2pa.edited", ENHANCED),
        (replace(GFPGAN, background=""), (), "c2pa.transcoded", None),
    ],
    ids=["generated", "imagined", "corrected", "left alone", "no face", "nothing done"],
)
def test_generated_is_said_only_where_a_generative_network_restored_a_face(
    made_by: Provenance,
    faces: tuple[FaceRecord, ...],
    action: str,
    source_type: str | None,
    tmp_path: Path,
    original: Path,
    files: signers.Files,
) -> None:
    encoded(tmp_path / "a.png", original, files, made_by=made_by, faces=faces)
    done = signers.actions(signers.read_back(tmp_path / "a.png")[1])[-1]
    assert (done["action"], done.get("digitalSourceType")) == (action, source_type)


def test_credentials_of_the_original_are_carried_along(
    tmp_path: Path, original: Path, files: signers.Files
) -> None:
    encoded(tmp_path / "first.jpg", original, files)
    _, first = signers.read_back(tmp_path / "first.jpg")
    _, _, warnings = read(str(tmp_path / "first.jpg"), LIMIT)
    assert any("content credentials" in warning for warning in warnings)
    done = encoded(tmp_path / "second.png", tmp_path / "first.jpg", files, warnings=warnings)
    assert not any("content credentials" in warning for warning in done.warnings)
    _, second = signers.read_back(tmp_path / "second.png")
    assert [each["active_manifest"] for each in second["ingredients"]] == [first["label"]]


def test_an_original_whose_credentials_are_damaged_is_named_all_the_same(
    tmp_path: Path, files: signers.Files
) -> None:
    source = tmp_path / "source.png"
    source.write_bytes(beside.with_chunks(beside.PNG, (b"caBX", beside.JUMBF)))
    _, _, warnings = read(str(source), LIMIT)
    done = encoded(tmp_path / "a.png", source, files, warnings=warnings)
    assert [w for w in done.warnings if "content credentials" in w] == list(warnings)
    state, manifest = signers.read_back(tmp_path / "a.png")
    assert state == "Valid"
    assert [each["title"] for each in manifest["ingredients"]] == ["source.png"]


def test_a_format_without_a_place_for_credentials_is_written_as_ever_and_says_so(
    tmp_path: Path, original: Path, files: signers.Files
) -> None:
    plain = encoded(tmp_path / "plain.bmp", original, None)
    done = encoded(tmp_path / "signed.bmp", original, files)
    assert set(done.warnings) - set(plain.warnings) == {
        "not signed: content credentials go into JPEG, PNG, TIFF, WebP, AVIF, MP4 and MOV alone"
    }
    assert (tmp_path / "plain.bmp").read_bytes() == (tmp_path / "signed.bmp").read_bytes()


def test_an_original_that_is_gone_costs_the_item_and_leaves_no_file(
    tmp_path: Path, files: signers.Files
) -> None:
    unit = Photo(id="u", source=str(tmp_path / "gone"), output="a.png", staging_dir=str(tmp_path))
    chunk = Chunk(unit, pasted=(Frame(photo()),), meta=META)
    (failed,) = Encode(provenance=GFPGAN, sign_with=files)([chunk])
    assert "cannot be opened" in failed.message  # type: ignore[union-attr]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SIGNED)
def test_without_metadata_nothing_is_said_of_what_made_a_picture(
    suffix: str, tmp_path: Path, original: Path
) -> None:
    chunk = Chunk(
        Photo(id="u", source=str(original), output=f"a{suffix}", staging_dir=str(tmp_path)),
        pasted=(Frame(photo()),), meta=PhotoMeta("jpeg"), records=((FACE,),),
    )  # fmt: skip
    for metadata in (True, False):
        (done,) = Encode(provenance=PULSE, metadata=metadata)([chunk])
        assert isinstance(done, Chunk)
        assert done.artifact is not None
        content = Path(done.artifact.staged_path).read_bytes()
        assert (b"restore-batch" in content) == metadata
        assert (b"xpacket" in content) == metadata
