# What every target of this tree shares: language level, warnings, sanitizers, libraries.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

find_program(KNEE_CCACHE ccache)
if(KNEE_CCACHE AND PROJECT_IS_TOP_LEVEL)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${KNEE_CCACHE})
endif()

find_package(CapnProto 0.9.2 CONFIG REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(Threads REQUIRED)

# Our own code only: applied per target by knee_target(), never to users of the library.
add_library(knee_warnings INTERFACE)
target_compile_options(knee_warnings INTERFACE -Wall -Wextra -Wpedantic -Wno-missing-field-initializers
  # g++ 12 reports these falsely: inside kj::Promise and std::variant at -O2, inside std::string (its bug
  # 105329) and std::vector at -O3.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-restrict -Wno-stringop-overflow>
  $<$<BOOL:${KNEE_WERROR}>:-Werror>)

if(KNEE_SANITIZE)
  # Programs travel to slaves with all they have in them: with -O2 and -g a test is of 270 MB.
  add_compile_options(-fsanitize=${KNEE_SANITIZE} -O1 -g1 -fno-omit-frame-pointer -fno-sanitize-recover=all)
  if(KNEE_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ says of Boost.Asio's fences that ThreadSanitizer does not see them.
    add_compile_options(-Wno-tsan)
  endif()
  add_link_options(-fsanitize=${KNEE_SANITIZE})
endif()

# A target of this tree: warnings on, private to it.
function(knee_target name)
  target_link_libraries(${name} PRIVATE $<BUILD_INTERFACE:knee_warnings>)
endfunction()

# A program that takes this tree's knee-slave for its local one. Drivers look beside themselves first: a link
# there leaves no path of this tree in a library that is installed.
function(knee_uses_slave name)
  add_dependencies(${name} knee-slave)
  if(CMAKE_RUNTIME_OUTPUT_DIRECTORY)
    return()  # all programs lie side by side
  endif()
  get_target_property(here ${name} BINARY_DIR)
  get_target_property(slave knee-slave BINARY_DIR)
  file(CREATE_LINK ${slave}/knee-slave ${here}/knee-slave SYMBOLIC)
  if(KNEE_PYTHON)
    get_target_property(python knee-python BINARY_DIR)
    file(CREATE_LINK ${python}/knee-python ${here}/knee-python SYMBOLIC)
    add_dependencies(${name} knee-python)
  endif()
endfunction()
