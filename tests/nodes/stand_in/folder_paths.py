"""Input, output, temp and models folders below one base folder that a test sets."""

import os

base = os.environ.get("STAND_IN_BASE", ".")
models_dir = os.path.join(base, "models")
registered = {}


def _folder(name):
    path = os.path.join(base, name)
    os.makedirs(path, exist_ok=True)
    return path


def get_input_directory():
    return _folder("input")


def get_output_directory():
    return _folder("output")


def get_temp_directory():
    return _folder("temp")


def add_model_folder_path(name, path):
    registered[name] = path


def get_filename_list(name):
    found = []
    for folder, _, files in os.walk(registered[name]):
        found += [os.path.relpath(os.path.join(folder, file), registered[name]) for file in files]
    return sorted(found)


def get_full_path_or_raise(name, filename):
    path = os.path.join(registered[name], filename)
    if not os.path.isfile(path):
        raise FileNotFoundError(path)
    return path


def get_save_image_path(prefix, output_dir):
    subfolder, name = os.path.split(os.path.normpath(prefix))
    folder = os.path.join(output_dir, subfolder)
    if not os.path.abspath(folder).startswith(os.path.abspath(output_dir)):
        raise Exception("outside the output folder")
    os.makedirs(folder, exist_ok=True)
    taken = [int(entry.split("_")[-2]) for entry in os.listdir(folder) if entry.startswith(name + "_")]
    return folder, name, max(taken, default=0) + 1, subfolder, prefix
