#!/bin/sh
# Sets a bare Debian or Ubuntu machine up (Deno, and a software Vulkan driver where no GPU answers), then runs `deno task …`.
# On other systems install Deno (https://deno.com) and call `deno task …` yourself.
set -eu
cd "$(dirname "$0")/.."

need_root() { # runs a command as root, or says that it cannot
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null 2>&1; then sudo "$@"
  else return 1; fi
}

apt_install() {
  command -v apt-get >/dev/null 2>&1 || return 1
  need_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 &&
    need_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

if ! command -v deno >/dev/null 2>&1; then
  echo "Installing Deno from npm …" >&2
  command -v npm >/dev/null 2>&1 || apt_install npm || {
    echo "Deno is missing, and so is npm to install it with. Install Deno 2.9.6 or newer: https://deno.com" >&2
    exit 1
  }
  if npm install -g deno >/dev/null 2>&1; then :
  else # no right to write there: a folder of our own
    npm install --prefix "${XDG_CACHE_HOME:-$HOME/.cache}/masp-deno" deno >/dev/null
    PATH="${XDG_CACHE_HOME:-$HOME/.cache}/masp-deno/node_modules/.bin:$PATH"
    export PATH
  fi
fi

# Mesa's software driver wants a folder for its run-time files.
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
  XDG_RUNTIME_DIR=$(mktemp -d)
  export XDG_RUNTIME_DIR
  trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
fi

# Without Vulkan, Deno's WebGPU takes OpenGL on Linux, which computes the same hundreds of times slower.
if [ "$(uname)" = Linux ]; then
  DENO_WEBGPU_BACKEND=${DENO_WEBGPU_BACKEND:-vulkan}
  export DENO_WEBGPU_BACKEND
fi

adapter() { deno eval --unstable-webgpu 'Deno.exit(await navigator.gpu?.requestAdapter() ? 0 : 1)' >/dev/null 2>&1; }

if ! adapter; then
  echo "No GPU answers; installing the software Vulkan driver …" >&2
  if ! apt_install mesa-vulkan-drivers libvulkan1 || ! adapter; then
    echo "No WebGPU adapter answers, and no software driver could be installed. Install your GPU's Vulkan driver," >&2
    echo "or as root: apt-get install mesa-vulkan-drivers libvulkan1" >&2
    exit 1
  fi
fi

# The tests in a browser need one.
if [ "${1:-}" = test:browser ] && [ -z "${CHROMIUM:-}" ] && ! command -v chromium >/dev/null 2>&1; then
  echo "Installing Chromium for the tests …" >&2
  apt_install chromium || echo "Chromium could not be installed; name a browser in the variable CHROMIUM." >&2
fi

deno task "$@"
