// The programs that are measured: built when they are needed.
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const benches = dirname(fileURLToPath(import.meta.url))
const root = dirname(benches)
const target = resolve(root, process.env.CARGO_TARGET_DIR ?? 'target')

// How each is built; returns where it is.
const builds = {
  rachis () {
    cargo('build', '--features', 'cli', '--bin', 'rachis', '--release')
    return join(target, 'release', 'rachis')
  },
  mesh () {
    const built = cargo('bench', '--features', 'cli', '--no-run', '--bench', 'mesh', '--message-format', 'json')
    const artifacts = built.split('\n').filter(Boolean).map(line => JSON.parse(line))
    return artifacts.find(artifact => artifact.executable && artifact.target.name === 'mesh').executable
  },
  yardsticks () {
    const folder = join(target, 'yardsticks')
    cargo('build', '--release', '--manifest-path', join(benches, 'yardsticks', 'Cargo.toml'), '--target-dir', folder)
    return join(folder, 'release', 'yardsticks')
  },
  peers () {
    const folder = join(benches, 'peers')
    if (changed(join(folder, 'node_modules', '.package-lock.json')) < changed(join(folder, 'package-lock.json'))) {
      run('npm', ['ci', '--loglevel', 'error'], folder)
    }
    return folder
  },
  // @rachis/feathers beside its peers, whose packages it finds.
  package () {
    const tarball = run(join(root, 'scripts', 'node-package.sh'), [], root).trim()
    const folder = join(program('peers'), 'node_modules', '@rachis', 'feathers')
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    run('tar', ['-xzf', tarball, '-C', folder, '--strip-components', '1'], root)
    return folder
  },
  'redis-server': () => installed('redis-server', '--version'),
  'nats-server': () => installed('nats-server', '--version'),
  wrk: () => installed('wrk', '--version'),
  valgrind: () => installed('valgrind', '--version')
}

const found = {}

// Where a program is; fails if it can not be had, and says why.
export function program (name) {
  found[name] ??= attempt(builds[name])
  if (found[name].error) throw found[name].error
  return found[name].path
}

function attempt (build) {
  try {
    return { path: build() }
  } catch (error) {
    return { error }
  }
}

function cargo (command, ...words) {
  return run('cargo', [command, '--locked', '--quiet', ...words], root)
}

function run (command, words, cwd) {
  try {
    return execFileSync(command, words, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1e9 })
  } catch (error) {
    throw new Error(error.code === 'ENOENT' ? `${command} is not installed` : `${command} ${words[0]} failed`)
  }
}

// Whether it is there; with what it answers, its exit code means nothing (that of wrk is 1).
function installed (command, word) {
  try {
    execFileSync(command, [word], { stdio: 'ignore' })
  } catch (error) {
    if (error.code === 'ENOENT') throw new Error(`${command} is not installed`)
  }
  return command
}

function changed (path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}
