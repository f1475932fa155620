// Databases of one's own: empty at the start, gone at the end.
import { execFileSync } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { freePort, start } from './processes.mjs'

const folder = () => mkdtempSync(join(tmpdir(), 'rachis-clients-'))
const quiet = { stdio: 'ignore' }

/** Ends a server and deletes what it kept. */
function ending(program, kept, signal) {
  return async () => {
    await program?.stop(signal)
    rmSync(kept, { recursive: true, force: true })
  }
}

async function sqlite() {
  const kept = folder()
  return { url: `sqlite://${join(kept, 'people.db')}`, stop: ending(null, kept) }
}

/** Where the programs of PostgreSQL are: Debian keeps them away from the path. */
function binaries() {
  const versions = '/usr/lib/postgresql'
  const newest = existsSync(versions) && readdirSync(versions).sort((a, b) => a - b).at(-1)
  return newest ? join(versions, newest, 'bin') : execFileSync('pg_config', ['--bindir'], { encoding: 'utf8' }).trim()
}

async function postgres() {
  const kept = folder()
  const port = await freePort()
  const bin = binaries()
  // It does not run as root.
  let as = []
  if (process.getuid() === 0) {
    const id = (kind) => Number(execFileSync('id', [kind, 'postgres'], { encoding: 'utf8' }))
    chownSync(kept, id('-u'), id('-g'))
    as = ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups']
  }
  const command = (name, ...args) => [...as, join(bin, name), ...args]
  const data = join(kept, 'data')
  const [make, ...how] = command('initdb', '-D', data, '-U', 'rachis', '-A', 'trust', '-E', 'UTF8', '--no-sync')
  execFileSync(make, how, quiet)
  const settings = ['-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=off']
  const [run, ...args] = command('postgres', '-D', data, '-p', String(port), '-k', kept, ...settings)
  const program = await start(run, args, 'ready to accept connections')
  return { url: `postgres://rachis@127.0.0.1:${port}/postgres`, stop: ending(program, kept, 'SIGINT') }
}

async function mariadb() {
  const kept = folder()
  const port = await freePort()
  const data = join(kept, 'data')
  const user = userInfo().username
  const make = ['--no-defaults', '--auth-root-authentication-method=normal', '--skip-test-db', `--datadir=${data}`, `--user=${user}`]
  execFileSync('mariadb-install-db', make, quiet)
  const first = join(kept, 'init.sql')
  writeFileSync(first, "CREATE DATABASE rachis;\nCREATE USER rachis@'%';\nGRANT ALL ON *.* TO rachis@'%';\n")
  const args = [
    '--no-defaults', `--datadir=${data}`, `--port=${port}`, '--bind-address=127.0.0.1', `--socket=${join(kept, 'socket')}`,
    `--user=${user}`, `--init-file=${first}`, '--character-set-server=utf8mb4', '--skip-name-resolve'
  ]
  const program = await start('mariadbd', args, 'ready for connections')
  return { url: `mysql://rachis@127.0.0.1:${port}/rachis`, stop: ending(program, kept, 'SIGTERM') }
}

export const databases = { sqlite, postgres, mariadb }
