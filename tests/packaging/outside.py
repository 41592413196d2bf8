#!/usr/bin/env python3
"""Builds a plugin as an author outside this tree does, from what is installed and nothing else.

usage: outside.py install BUILD PREFIX              installs the component "dev" of the build folder BUILD into PREFIX
       outside.py find_package PREFIX COMPILER OUT  builds OUT with CMake
       outside.py pkg_config PREFIX COMPILER OUT    builds OUT with pkg-config and the compiler
       outside.py inspect OUT                       checks the file OUT: its note and its symbols
       outside.py refuse_version PREFIX             find_package must refuse a version that PREFIX does not offer

The sources are copied to a temporary folder first, so that no path of this tree can help. Exit status 77: the compiler
is not installed.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "outside")
# Flags of the house must come with the package: what the environment holds could stand in for them.
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if name not in ("CXXFLAGS", "CFLAGS", "CPPFLAGS", "LDFLAGS", "CPATH", "CPLUS_INCLUDE_PATH", "CMAKE_PREFIX_PATH",
                               "PKG_CONFIG_PATH")}


def run(*command, **options):
    print("+", " ".join(command), flush=True)
    return subprocess.run(command, check=True, env={**ENVIRONMENT, **options.pop("env", {})}, **options)


def output(*command, **options):
    return run(*command, stdout=subprocess.PIPE, text=True, **options).stdout


def library_folder(prefix, kind):
    """The folder `kind` ("pkgconfig", "cmake/rtd") below PREFIX/lib or, on Debian, PREFIX/lib/<triplet>."""
    for folder, _, _ in os.walk(prefix):
        if folder.endswith("/" + kind):
            return folder
    sys.exit(f"no folder {kind} below {prefix}")


def install(build, prefix):
    shutil.rmtree(prefix, ignore_errors=True)
    # Installed in one place and moved to another: nothing in it may name the first.
    with tempfile.TemporaryDirectory() as folder:
        first = os.path.join(folder, "first")
        run("cmake", "--install", build, "--component", "dev", "--prefix", first)
        for where, _, names in os.walk(first):
            for name in names:
                with open(os.path.join(where, name), encoding="utf-8", errors="replace") as file:
                    text = file.read()
                for foreign in (folder, os.path.dirname(SOURCES), build):
                    if foreign in text:
                        sys.exit(f"{os.path.join(where, name)} names {foreign}")
        shutil.move(first, prefix)


def need(compiler):
    if not shutil.which(compiler):
        print(f"not run here: {compiler}: not installed")
        sys.exit(77)


def find_package(prefix, compiler, out):
    need(compiler)
    with tempfile.TemporaryDirectory() as folder:
        source = shutil.copytree(SOURCES, os.path.join(folder, "source"))
        build = os.path.join(folder, "build")
        run("cmake", "-G", "Ninja", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_CXX_COMPILER={compiler}",
            "-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
        run("cmake", "--build", build)
        with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
            commands = file.read()
        for flag in ("-fno-omit-frame-pointer", "-fstack-clash-protection", "-fPIC", "-std="):
            if flag not in commands:
                sys.exit(f"rtd::plugin does not bring {flag}")
        os.makedirs(os.path.dirname(out), exist_ok=True)
        shutil.copy(os.path.join(build, "outside.so"), out)


def pkg_config(prefix, compiler, out):
    need(compiler)
    environment = {"PKG_CONFIG_PATH": library_folder(prefix, "pkgconfig")}
    flags = output("pkg-config", "--cflags", "rtd", env=environment).split()
    if output("pkg-config", "--modversion", "rtd", env=environment).count(".") != 2:
        sys.exit("pkg-config names no version")
    for flag in ("-fno-omit-frame-pointer", "-fstack-clash-protection", "-fPIC", "-std=c++20"):
        if flag not in flags:
            sys.exit(f"pkg-config --cflags rtd does not give {flag}")
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(os.path.join(SOURCES, "outside.cpp"), folder)
        run(compiler, *flags, "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-o", out, "outside.cpp", cwd=folder)


def inspect(out):
    notes = output("readelf", "--wide", "--notes", out)
    section = re.search(r"Displaying notes found in: \.note\.rtd\n(.*?)(?=\nDisplaying|\Z)", notes, re.DOTALL)
    if not section:
        sys.exit(f"{out} has no section .note.rtd:\n{notes}")
    owner = re.search(r"^\s+rtd\s+0x([0-9a-f]+)", section[1], re.MULTILINE)
    if not owner or int(owner[1], 16) != 296:
        sys.exit(f"{out}: the note is not rtd's, of 296 bytes:\n{section[0]}")
    text = bytes(int(byte, 16) for byte in section[1].split("description data:")[1].split())
    fields = [text[8:72], text[72:104], text[104:296]]
    fields = [field.split(b"\0")[0].decode() for field in fields]
    if int.from_bytes(text[0:4], "little") != 1 or fields != ["outside", "2.5.0", "Built outside the tree of rtd"]:
        sys.exit(f"{out}: the note says {text[0:4]!r} {fields}")
    if "NOTE" not in output("readelf", "--wide", "--segments", out):
        sys.exit(f"{out} has no NOTE segment: the loader of the daemon reads notes from there")
    symbols = output("readelf", "--wide", "--dyn-syms", out)
    if not re.search(r"OBJECT\s+GLOBAL\s+DEFAULT\s+\d+ rt_plugin_v1$", symbols, re.MULTILINE):
        sys.exit(f"{out} does not export rt_plugin_v1:\n{symbols}")
    defined = [line.split()[7] for line in symbols.splitlines() if " GLOBAL DEFAULT " in line and " UND " not in line]
    if "answer" in " ".join(defined):
        sys.exit(f"{out} exports its entry function: {defined}")
    entries = re.search(r"\brt_entries\s+PROGBITS\s+\S+ \S+ ([0-9a-f]+)", output("readelf", "--wide", "--sections", out))
    if not entries or int(entries[1], 16) != 32:
        sys.exit(f"{out}: the section rt_entries does not hold one entry of 32 bytes")
    print(f"{out}: {' '.join(fields)}")


def refuse_version(prefix):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "CMakeLists.txt"), "w", encoding="utf-8") as file:
            file.write("cmake_minimum_required(VERSION 3.25)\nproject(later LANGUAGES CXX)\nfind_package(rtd 99.0 REQUIRED)\n")
        result = subprocess.run(["cmake", "-G", "Ninja", "-S", folder, "-B", os.path.join(folder, "build"),
                                 f"-DCMAKE_PREFIX_PATH={prefix}"], env=ENVIRONMENT, text=True, check=False,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if result.returncode == 0 or "considered but not accepted" not in result.stdout:
            sys.exit(f"find_package(rtd 99.0) was not refused:\n{result.stdout}")


STEPS = {step.__name__: step for step in (install, find_package, pkg_config, inspect, refuse_version)}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in STEPS:
        sys.exit(__doc__)
    STEPS[sys.argv[1]](*sys.argv[2:])
