"""conan create docs/packaging/conan: the headers of the tree that this file lies in, as a Conan 2 package."""

import pathlib
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy


class Bitlens(ConanFile):
    name = "bitlens"
    description = "Which inputs low-bit weight-only quantization breaks, where and why"
    license = "MIT"
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    no_copy_source = True

    @property
    def tree(self):
        return pathlib.Path(self.recipe_folder).parents[2]

    def set_version(self):
        header = (self.tree / "include/bitlens/version.hpp").read_text()
        self.version = re.search(r'version = "(.*)"', header)[1]

    def export_sources(self):
        for pattern in ("include/*", "LICENSE"):
            copy(self, pattern, src=str(self.tree), dst=self.export_sources_folder)

    def requirements(self):
        for reference in ("onetbb/[>=2021.8]", "xsimd/[>=8.1]", "xtensor/[>=0.24.3]", "xtl/[>=0.7.2]",
                          "nlohmann_json/[>=3.11]", "zlib/[>=1.2.13]", "utf8proc/[>=2.6]"):
            self.requires(reference)

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("bitlens runs on Linux only")
        check_min_cppstd(self, 20)

    def package_id(self):
        self.info.clear()

    def package(self):
        copy(self, "include/*", src=self.source_folder, dst=self.package_folder)
        copy(self, "LICENSE", src=self.source_folder, dst=str(pathlib.Path(self.package_folder) / "licenses"))

    def package_info(self):
        core = self.cpp_info.components["core"]
        core.set_property("cmake_target_name", "bitlens::core")
        core.set_property("pkg_config_name", "bitlens-core")
        core.requires = ["onetbb::onetbb", "xsimd::xsimd", "xtensor::xtensor", "xtl::xtl"]
        everything = self.cpp_info.components["bitlens"]
        everything.set_property("cmake_target_name", "bitlens::bitlens")
        everything.set_property("pkg_config_name", "bitlens")
        everything.requires = ["core", "nlohmann_json::nlohmann_json", "zlib::zlib", "utf8proc::utf8proc"]
        for component in core, everything:
            component.bindirs = component.libdirs = []
