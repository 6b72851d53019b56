with traded as (
    select * from stg_policy_ablation
),

reports as (
    select * from stg_performance_report
),

based as (
    select
        market,
        session,
        hold_pnl,
        nullif(first_value(notional) over (partition by market order by session), 0) as one_contract,
        -- The most that the policy held; the other ways to trade have the same limit of contracts.
        nullif(max(max_position * notional) over (partition by market), 0) as most_held
    from reports
),

final as (
    select
        traded.market,
        traded.session,
        traded.variant,
        traded.net_pnl,
        sum(traded.net_pnl) over so_far / coalesce(based.most_held, based.one_contract) as cumulative_return,
        sum(based.hold_pnl) over so_far / based.one_contract as hold_return
    from traded
    inner join based on traded.market = based.market and traded.session = based.session
    window so_far as (partition by traded.market, traded.variant order by traded.session)
)

select * from final order by market, variant, session
