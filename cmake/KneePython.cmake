# Sets KNEE_PYTHON to ON or OFF: whether knee-python is built. It needs Python 3 to be embedded, and pybind11's headers.

if(KNEE_PYTHON)
  if(NOT DEFINED Python3_ROOT_DIR)
    # The one whose library the loader finds, here and on slaves: not one of somebody's own.
    set(Python3_ROOT_DIR /usr)
  endif()
  find_package(Python3 3.8 QUIET COMPONENTS Development.Embed)
  set(PYBIND11_NOPYTHON ON)
  find_package(pybind11 2.10 QUIET CONFIG)
  if(Python3_FOUND AND pybind11_FOUND)
    set(KNEE_PYTHON ON)
  elseif(KNEE_PYTHON STREQUAL "AUTO")
    set(KNEE_PYTHON OFF)
    message(STATUS "No Python sessions: Python 3's development files or pybind11 are not here")
  else()
    message(FATAL_ERROR "KNEE_PYTHON is ON, but Python 3's development files or pybind11 2.10 are not here "
      "(Debian: python3-dev pybind11-dev)")
  endif()
endif()
