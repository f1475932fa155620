// A mesh that does nothing, and what it costs when all of it restarts.
import { program } from '../programs.mjs'
import { sleep } from '../stage.mjs'

export const about = 'an idle mesh of 10, 100 and 1,000 nodes in one process, then a restart of them all'
export const contestants = ['rachis']
// What is counted over half a minute needs no median.
export const rounds = () => 1

// With the default heartbeat of 2 s, three commands a beat.
const COMMANDS = 3 * 60 / 2

export const rows = ({ quick }) => fleets(quick).flatMap(nodes => {
  const large = nodes === 1000
  const row = (key, what, target) => ({ key: `${key} ${nodes}`, name: `${nodes} idle nodes: ${what}`, targets: target })
  return [
    row('commands', 'commands to Redis a node and minute', large && [{ most: COMMANDS }]),
    row('all commands', 'the same with those inside of scripts'),
    row('bytes', 'bytes a node and minute'),
    row('redis', 'Redis CPU, % of a core', large && [{ most: 2 }]),
    row('cpu', 'CPU a node, % of a core'),
    row('memory', 'memory a node, KiB'),
    row('restart', 'Redis CPU for a restart of all, s'),
    row('restart alone', 'the same without what they spend at rest', large && [{ most: 2 }]),
    row('messages', 'messages of a restart of all'),
    row('hashes', 'hashes read in a restart of all')
  ]
})

const fleets = quick => quick ? [10, 100] : [10, 100, 1000]

export async function measure (stage, _, { quick }) {
  const values = {}
  for (const nodes of fleets(quick)) {
    for (const [key, value] of Object.entries(await fleet(stage, nodes, quick))) values[`${key} ${nodes}`] = value
    await stage.clear()
  }
  return values
}

async function fleet (stage, nodes, quick) {
  const redis = await stage.redis()
  const mesh = await stage.ready(program('mesh'), ['fleet', '--redis', redis.url, '--nodes', nodes], { talk: true })
  // What joining left to do is over after two beats or three.
  await sleep(quick ? 5000 : 10000)
  const idle = await cost(redis, mesh, () => sleep(quick ? 10000 : 30000))
  const { memory } = mesh.usage()
  // Apart from the rest, since watching costs Redis something.
  const watched = quick ? 10000 : 20000
  const sent = await redis.commands(watched)
  const restart = await cost(redis, mesh, async () => {
    mesh.tell('restart\n')
    await mesh.figure()
  })
  const each = value => value / nodes / idle.minutes
  return {
    commands: sent / nodes / watched * 60000,
    'all commands': each(idle.commands),
    bytes: each(idle.bytes),
    redis: idle.redis / idle.minutes / 60 * 100,
    cpu: each(idle.cpu) / 60 * 100,
    memory: memory * 1024 / nodes,
    restart: restart.redis,
    'restart alone': restart.redis - idle.redis / idle.minutes * restart.minutes,
    messages: restart.messages,
    hashes: restart.hashes
  }
}

// What Redis and the nodes spend while `act` goes on; CPU in seconds.
async function cost (redis, mesh, act) {
  const [before, used, begun] = [await redis.info(), mesh.usage(), performance.now()]
  await act()
  const [after, now, minutes] = [await redis.info(), mesh.usage(), (performance.now() - begun) / 60000]
  const grown = (...names) => names.reduce((sum, name) => sum + (after[name] ?? 0) - (before[name] ?? 0), 0)
  return {
    minutes,
    commands: grown('total_commands_processed'),
    bytes: grown('total_net_input_bytes', 'total_net_output_bytes'),
    redis: grown('used_cpu_sys', 'used_cpu_user'),
    messages: grown('cmdstat_publish'),
    hashes: grown('cmdstat_hgetall'),
    cpu: (now.cpu - used.cpu) / 1000
  }
}
