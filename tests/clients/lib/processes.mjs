// The processes that checks run against. Each is ended by whoever started it, by its handle.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A TCP port of the loopback interface that nobody uses now. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** A running program. */
class Program {
  constructor(child, said) {
    this.child = child
    this.said = said
    // Also for one that could not be started, which has an error and no exit.
    this.ended = once(child, 'exit').catch(() => {})
  }

  /** Sends a signal and waits for the end; a program that does not end by itself is killed. */
  async stop(signal = 'SIGTERM') {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    this.child.kill(signal)
    const patience = setTimeout(() => this.child.kill('SIGKILL'), 15000)
    await this.ended
    clearTimeout(patience)
  }
}

/** Starts a program and waits until it has printed `ready`. */
export async function start(command, args, ready, { cwd, env } = {}) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  const program = new Program(child, () => said)
  return await new Promise((resolve, reject) => {
    const deadline = setTimeout(() => fail('did not get ready'), 30000)
    const fail = (why) => {
      clearTimeout(deadline)
      child.kill('SIGKILL')
      reject(new Error(`${command} ${args.join(' ')}: ${why}\n${said}`))
    }
    const hear = (chunk) => {
      said = (said + chunk).slice(-20000)
      if (!said.includes(ready)) return
      clearTimeout(deadline)
      resolve(program)
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.once('error', (error) => fail(error.message))
    child.once('exit', (code, signal) => fail(`ended with ${code ?? signal}`))
  })
}

/** A Redis that keeps nothing, on a free port unless one is named. */
export async function redis(wanted) {
  const folder = await mkdtemp(join(tmpdir(), 'rachis-clients-'))
  const port = wanted ?? await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder]
  const program = await start('redis-server', args, 'Ready to accept connections')
  const stop = async () => {
    await program.stop()
    await rm(folder, { recursive: true, force: true })
  }
  return { url: `redis://127.0.0.1:${port}`, stop }
}

/**
 * The example, in one of its roles. `env` configures it as usual; without a port, it takes a free one.
 */
export async function conformance(binary, redisUrl, role, { port = 0, env, args: more = [] } = {}) {
  const ready = role === 'services' ? 'serving ' : 'listening on '
  const folder = await mkdtemp(join(tmpdir(), 'rachis-clients-'))
  const args = ['--role', role, '--redis', redisUrl, '--port', String(port), ...more]
  // In a folder of its own, so that no distribution.toml of the project changes what is checked.
  const program = await start(binary, args, ready, { cwd: folder, env })
  program.url = /listening on (\S+)/.exec(program.said())?.[1]
  program.ended.then(() => rm(folder, { recursive: true, force: true }))
  return program
}
