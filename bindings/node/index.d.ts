// The types of @rachis/feathers, for `require`; those for `import` are in index.d.mts.
import type { Application, HookOptions } from '@feathersjs/feathers'

declare module '@feathersjs/feathers' {
  interface Params {
    /** Until when the caller waits, in ms since 1970: set in calls of other nodes. A call that is given it waits no longer. */
    deadline?: number
    /** A call of another node with the key of an earlier one is answered as that was, and does not run again. */
    idempotencyKey?: string
    /** Whether the call came from another node. */
    fromRemote?: boolean
  }
}

/** Puts an application on the mesh: `app.configure(distribution(options))`. */
declare function distribution(options?: distribution.DistributionOptions): (app: Application<any, any>) => void

declare namespace distribution {
  /** What is known of a service of the mesh. */
  interface ServiceDescriptor {
    /** The node that offers it, one of them if there are several. */
    uuid: string
    shortUuid: string
    /** The partition key of its application. */
    key: string
    /** Its path: on its own node in predicates, on this one in the events `service` and `service-removed`. */
    path: string
    events: string[]
    methods: string[]
    /** The options that its application announces. */
    remoteOptions?: Record<string, unknown>
  }

  /** The options of `distribution()`; all are optional. Times are in milliseconds. */
  interface DistributionOptions {
    /** Partition key. Default `default`. */
    key?: string
    /** Processes of one key and app are replicas. Default: the key if one is given, else the package's name. */
    app?: string
    /** Where Redis is: a URL, or the keys of the section `[redis]`. Default `REDIS_URL`, else `redis://127.0.0.1:6379`. */
    redis?: string | Record<string, unknown>
    /** Meshes of one Redis are parted by it. Default `rachis`. */
    namespace?: string
    /** Which services others may see. Default: all. */
    services?: string[] | ((service: ServiceDescriptor) => boolean)
    /** Which services of others are used. Default: all. */
    remoteServices?: string[] | ((service: ServiceDescriptor) => boolean)
    /** The path of a remote service here. Default: the one it has there. */
    remoteServicePath?: (service: ServiceDescriptor) => string
    /** Names of options of a service that others get as `remoteOptions`. */
    remoteServiceOptions?: (service: ServiceDescriptor) => string[] | null | undefined
    /** Hooks of all remote services. */
    hooks?: HookOptions<any, any>
    /** Middlewares of the HTTP framework around all remote services. */
    middlewares?: { before?: any, after?: any }
    /** How long a call waits for its answer. Default 20,000. */
    timeout?: number
    /** How long services stay unannounced after joining. Default 0. */
    publicationDelay?: number
    /** How long to wait before joining; -1: not before `initialize(app)`. Default 0. */
    coteDelay?: number
    /** Accepted and not needed. */
    componentDelay?: number
    /** Default 2,000. */
    heartbeatInterval?: number
    /** Whether other nodes get events. Default true. */
    publishEvents?: boolean
    /** Only these events are published. Default: all of each service. */
    distributedEvents?: string[]
    /** Only these methods can be called by others. Default: all of each service. */
    distributedMethods?: string[]
    /** Default `/distribution/healthcheck`. */
    healthcheckPath?: string
    /** Options of cote: `helloInterval` and `nodeTimeout` count, the rest is ignored with a warning. */
    cote?: Record<string, unknown>
    /** Events of a service happen on the same service of every other replica, in the place of feathers-sync. Default false. */
    sync?: boolean
    /** How long a path without replicas stays callable. Default 0: it is gone at once. */
    linger?: number | 'forever'
    /** Whether `authenticated` of other nodes is not believed. Default false, as feathers-distributed behaves. */
    authentication?: boolean
    /** Any key of distribution.toml. */
    config?: Record<string, unknown>
    /** Gets what is logged, instead of the console. */
    log?: (level: 'error' | 'warn' | 'info' | 'debug', text: string) => void
  }

  /** Joins the mesh, where `coteDelay` is -1. Ends when others can call the application's services. */
  function initialize(app: Application<any, any>): Promise<void>

  /** Leaves the mesh: calls that run are finished first. A second call does nothing more. */
  function finalize(app: Application<any, any>): Promise<void>

  export { distribution as default, initialize, finalize }
  export type { DistributionOptions, ServiceDescriptor }
}

export = distribution
