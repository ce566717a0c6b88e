"""The two libraries for sound, imported in one place: reading (soundfile) and signal processing (torchaudio).

torchaudio carries compiled code that fits only some builds of torch; beside another one its import fails with OSError
or RuntimeError.  Both become an ImportError that names the remedy.
"""

try:
    import soundfile
    from torchaudio.functional import resample
    from torchaudio.transforms import MelSpectrogram
except (ImportError, OSError, RuntimeError) as error:
    raise ImportError(
        f"mixkit_audio needs soundfile, and torchaudio beside a torch of the same build ({error}); "
        "pip install 'mixkit[audio]' takes a fitting pair from PyPI, where a torch for processors alone does not fit"
    ) from error

__all__ = ["MelSpectrogram", "resample", "soundfile"]
