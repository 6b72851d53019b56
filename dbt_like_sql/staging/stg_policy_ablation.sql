with traded as (
    select * from policy_ablation
),

renamed as (
    select
        market,
        session,
        variant,
        net_pnl,
        fees,
        contracts,
        maker_contracts,
        orders,
        cancelled
    from traded
)

select * from renamed
