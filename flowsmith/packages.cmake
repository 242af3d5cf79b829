# Debian packages and a tarball, by `cpack` in the build folder: flowsmith, the program and the shared library, and
# flowsmith-dev, what it takes to compile against it. Built with BUILD_SHARED_LIBS=ON; LD_LIBRARY_PATH is never needed, for
# the library lies where the loader looks.
set(CPACK_PACKAGE_NAME flowsmith)
set(CPACK_PACKAGE_VENDOR "The Flowsmith authors")
set(CPACK_PACKAGE_CONTACT "The Flowsmith authors <flowsmith@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "normalizing flows: exact likelihoods, latents and samples")
set(CPACK_PACKAGE_DESCRIPTION
    "Trains, scores and samples normalizing flows (NICE, RealNVP, Glow and others)
of images and of rows of numbers, on the CPU, with kernels written by hand
and no deep-learning framework.")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_COMPONENTS_ALL runtime development)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME flowsmith)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME flowsmith-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "flowsmith (= ${PROJECT_VERSION})")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "Headers, CMake package and pkg-config file of Flowsmith.")
include(CPack)
