// The contestants: each starts the same service on a stage, and tells how it is called. Their order is that of the table.
import { program } from './programs.mjs'
import { freePort } from './stage.mjs'

const rachis = {
  title: 'Rachis',
  needs: ['redis-server', 'mesh'],
  socketio: 'feathers',
  async serve (stage, { replicas = 1, threads = 1 } = {}) {
    const { url } = await stage.redis()
    const mesh = program('mesh')
    const common = ['--redis', url, '--threads', threads]
    await stage.ready(mesh, ['serve', ...common, '--replicas', replicas])
    return {
      call: (callers, seconds) => stage.figures(mesh, ['call', ...common, '--callers', callers, '--seconds', seconds]),
      gateway: async () => (await gateway(stage, url)).said.url
    }
  },
  // Feathers applications on the mesh, and programs in Rust beside them.
  async node (stage) {
    program('package')
    const mesh = program('mesh')
    // A mesh each.
    const [feathers, toNode, toRust] = await Promise.all([stage.redis(), stage.redis(), stage.redis()])
    const on = ({ url }) => ({ cwd: program('peers'), env: { PLUGIN: '@rachis/feathers', REDIS_URL: url } })
    const rust = ({ url }) => ['--redis', url, '--threads', 1]
    const call = redis => (callers, seconds) =>
      stage.figures('node', ['feathers.mjs', 'call', 0, callers, seconds], on(redis))
    await stage.ready('node', ['feathers.mjs', 'service', 0], on(feathers))
    await stage.ready('node', ['feathers.mjs', 'service', 0], on(toNode))
    await stage.ready(mesh, ['serve', ...rust(toRust), '--replicas', 1])
    return {
      feathers: call(feathers),
      toNode: (callers, seconds) =>
        stage.figures(mesh, ['call', ...rust(toNode), '--callers', callers, '--seconds', seconds]),
      toRust: call(toRust)
    }
  },
  atRest: async stage => appAtRest(stage, { PLUGIN: '@rachis/feathers', REDIS_URL: (await stage.redis()).url })
}

// A Feathers application with a service that nobody calls.
export async function appAtRest (stage, env) {
  const words = ['--expose-gc', 'feathers.mjs', 'service', await freePort()]
  return stage.ready('node', words, { cwd: program('peers'), env })
}

// The binary as users have it.
export function gateway (stage, redis) {
  return stage.ready(program('rachis'), ['gateway', '--json', '--redis', redis, '--listen', '127.0.0.1:0'])
}

// The limit of the design, and NATS: transports of one program.
function yardstick (title, transport, serverOn) {
  return {
    title,
    needs: ['yardsticks', transport === 'nats' ? 'nats-server' : 'redis-server'],
    async serve (stage, { replicas = 1, threads = 1 } = {}) {
      const common = [transport, await serverOn(stage), '--threads', threads]
      const yardsticks = program('yardsticks')
      await stage.ready(yardsticks, ['serve', ...common, '--replicas', replicas])
      return {
        call: (callers, seconds) =>
          stage.figures(yardsticks, ['call', ...common, '--callers', callers, '--seconds', seconds])
      }
    }
  }
}

async function redisOn (stage) {
  return (await stage.redis()).address
}

async function natsOn (stage) {
  const port = await freePort()
  const server = stage.start('nats-server', ['--addr', '127.0.0.1', '--port', port])
  await server.complaint('Server is ready')
  return `127.0.0.1:${port}`
}

const feathers = {
  title: 'feathers-distributed 3.0',
  needs: ['peers'],
  socketio: 'feathers',
  async serve (stage) {
    const run = { cwd: program('peers') }
    await stage.ready('node', ['feathers.mjs', 'service', await freePort()], run)
    return {
      call: async (callers, seconds) =>
        stage.figures('node', ['feathers.mjs', 'call', await freePort(), callers, seconds], run),
      async gateway () {
        const port = await freePort()
        await stage.ready('node', ['feathers.mjs', 'gateway', port], run)
        return `http://127.0.0.1:${port}`
      }
    }
  },
  async node (stage) {
    const { call } = await feathers.serve(stage)
    return { feathers: call }
  },
  atRest: stage => appAtRest(stage, {})
}

const moleculer = {
  title: 'Moleculer 0.14 (Redis)',
  needs: ['peers', 'redis-server'],
  socketio: 'moleculer',
  async serve (stage) {
    const { url } = await stage.redis()
    const run = { cwd: program('peers') }
    await stage.ready('node', ['moleculer.mjs', 'service', url], run)
    return {
      call: (callers, seconds) => stage.figures('node', ['moleculer.mjs', 'call', url, callers, seconds], run),
      async gateway () {
        const port = await freePort()
        await stage.ready('node', ['moleculer.mjs', 'gateway', url, port], run)
        return `http://127.0.0.1:${port}`
      }
    }
  }
}

export const contestants = {
  rachis,
  raw: yardstick('limit, raw', 'raw', redisOn),
  rs: yardstick('limit, redis-rs', 'redis-rs', redisOn),
  nats: yardstick('NATS (async-nats)', 'nats', natsOn),
  feathers,
  moleculer
}
