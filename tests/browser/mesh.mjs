// Redis, a gateway and two replicas, each ended by its handle.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'

const PATIENCE = 30_000

/** A TCP port of the loopback interface that nobody uses now. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** The caller's environment without what would configure the example. */
function environment() {
  const ours = /^(DISTRIBUTION_|REDIS_|COTE_|TODO_|SHOP_)|^(START_DELAY|PUBLICATION_DELAY|HEARTBEAT_INTERVAL|PORT)$/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)))
}

/** Starts a program in `cwd`, away from any distribution.toml, and waits until it has printed `ready`. */
export async function start(command, args, ready, cwd, env = {}) {
  const child = spawn(command, args, { cwd, env: { ...environment(), ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'exit').catch(() => {})
  let said = ''
  const stop = async (signal = 'SIGTERM') => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
    child.kill(signal)
    const patience = setTimeout(() => child.kill('SIGKILL'), 15_000)
    await ended
    clearTimeout(patience)
  }
  await new Promise((resolve, reject) => {
    const fail = (why) => {
      clearTimeout(deadline)
      child.kill('SIGKILL')
      reject(new Error(`${command} ${args.join(' ')}: ${why}\n${said}`))
    }
    const deadline = setTimeout(() => fail('did not get ready'), PATIENCE)
    const hear = (chunk) => {
      said = (said + chunk).slice(-20_000)
      if (!said.includes(ready)) return
      clearTimeout(deadline)
      resolve()
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.once('error', (error) => fail(error.message))
    child.once('exit', (code, signal) => fail(`ended with ${code ?? signal}`))
  })
  return { pid: child.pid, stop, said: () => said }
}

/** A Redis of its own: `redis` ends it, `redisUrl` is where it is. */
export async function startRedis(folder) {
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const redis = await start('redis-server', args, 'Ready to accept connections', folder)
  return { redis, redisUrl: `redis://127.0.0.1:${port}` }
}

/** What the page is a page of. */
export class Mesh {
  replicas = []

  constructor(binary, folder) {
    Object.assign(this, { binary, folder })
  }

  async start() {
    Object.assign(this, await startRedis(this.folder))
    this.port = await freePort()
    await this.startGateway()
    await this.startReplica()
    await this.startReplica()
  }

  get url() {
    return `http://127.0.0.1:${this.port}`
  }

  /** Always at the same port, so that a page finds the next one. */
  async startGateway() {
    const args = ['gateway', '--redis', this.redisUrl, '--port', String(this.port)]
    this.gateway = await start(this.binary, args, 'gateway on', this.folder)
  }

  async startReplica() {
    const replica = await start(this.binary, ['service', '--redis', this.redisUrl], 'serves todos', this.folder)
    this.replicas.push(replica)
    return replica
  }

  /** A request as somebody else would make it. */
  async ask(method, path, { body, token } = {}) {
    const headers = { Accept: 'application/json', 'Content-Type': 'application/json' }
    if (token) headers.Authorization = `Bearer ${token}`
    const response = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) })
    return { status: response.status, json: await response.json() }
  }

  async stop() {
    for (const program of [this.gateway, ...this.replicas, this.redis]) await program?.stop()
  }
}
